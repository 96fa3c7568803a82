"""Actions as one of K prototypes: vector quantization, and the Gumbel ablation of GLASS.  [GLASS Eq. (6), Table 3]"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from vdsm_glass.layers.processes import agreed, gathered, several_processes

KEPT = 16
"""Steps whose U(d_t) the centres are made of."""


class QuantizerSizes(Protocol):
    """What the sizes of a model with a quantizer say; see `LMASizes`."""

    @property
    def actions(self) -> int: ...

    @property
    def code_size(self) -> int: ...

    @property
    def revive_after(self) -> int: ...

    @property
    def codebook_start(self) -> int: ...


class Quantized(NamedTuple):
    """The actions of n pairs of frames.

    `index` q (n,) int64; `code` a_t (n, code_size), through which gradients pass to U(d_t); `commitment` and
    `codebook`, the two terms of Eq. (6) without λ_VQ, scalars.
    """

    index: Tensor
    code: Tensor
    commitment: Tensor
    codebook: Tensor


class Quantizer(nn.Module):
    """K prototypes c_k, and how often each was chosen in training.

    The counts are those of one process. They are not a buffer, because DDP would overwrite them with the first
    process's.
    """

    def __init__(self, sizes: QuantizerSizes) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(sizes.actions, sizes.code_size))
        self._counts: Tensor | None = None

    def take_counts(self) -> Tensor:
        """(K,) float32: how often this process chose each action in training since the last call."""
        counts, self._counts = self._counts, None
        return torch.zeros_like(self.codes[:, 0]).detach() if counts is None else counts

    def add_counts(self, counts: Tensor) -> None:
        """Adds to the counts.  Args: counts (K,)."""
        self._counts = counts if self._counts is None else counts + self._counts.to(counts.device)


class VectorQuantizer(Quantizer):
    """a_t = c_q, q = argmin_k ‖c_k - U(d_t)‖²; da_t/dU(d_t) is taken to be 1 (straight-through).  [GLASS Eq. (6)]

    Random prototypes would mostly lie far from all U(d_t) and never be chosen. They start as K distinct U(d_t) of the
    first training batch, spread as k-means++ spreads its seeds, the same on all processes.

    With `codebook_start` they start later, at the centres of what the last `KEPT` steps gave; until then a_t is U(d_t).
    The few vectors of a first batch come from a network that has learned nothing: they tell clips apart, not actions.

    All is float32 under autocast too.

    Args: sizes: K, `code_size`, `revive_after` and `codebook_start`.
    """

    initialised: Tensor
    seen: Tensor
    idle: Tensor

    def __init__(self, sizes: QuantizerSizes) -> None:
        super().__init__(sizes)
        self.revive_after = sizes.revive_after
        self.codebook_start = sizes.codebook_start
        if self.codebook_start:
            self.register_buffer("seen", torch.tensor(0))
        # U(d_t) of the last steps before the start.
        self._kept: deque[Tensor] = deque(maxlen=KEPT)
        self.register_buffer("initialised", torch.tensor(False))
        # Steps since each prototype was last chosen, by any process.
        self.register_buffer("idle", torch.zeros(sizes.actions, dtype=torch.int64))
        # Saves every later step from reading `initialised` on the device.
        self._seen_initialised = False

    def forward(self, u: Tensor) -> Quantized:
        """The nearest prototypes of u, with commitment ‖sg[c_q] - U(d_t)‖² and codebook ‖c_q - sg[U(d_t)]‖².

        Both terms are means over pairs and dimensions.  Args: u U(d_t) (n, code_size).
        """
        with torch.autocast(device_type=u.device.type, enabled=False):
            u = u.float()
            if self.training and not self.started(u.detach()):
                nothing = u.new_zeros(())
                return Quantized(nearest(u.detach(), self.codes.detach()), u, commitment=nothing, codebook=nothing)
            if self.training:
                self.prepare(u.detach())
            index = nearest(u.detach(), self.codes.detach())
            if self.training:
                self.add_counts(chosen(index, len(self.codes)))
            c_q = F.embedding(index, self.codes)
            return Quantized(
                index=index,
                # The prototype itself, to the last digit, with the gradient of u.
                code=c_q.detach() + (u - u.detach()),
                commitment=F.mse_loss(u, c_q.detach()),
                codebook=F.mse_loss(c_q, u.detach()),
            )

    @torch.no_grad()
    def started(self, u: Tensor) -> bool:
        """Whether there are prototypes to choose from; places them when it is time.  Args: u (n, code_size)."""
        if self._seen_initialised or not self.codebook_start or self.initialised.item():
            return True
        self._kept.append(gathered(u))
        self.seen += 1
        if self.seen.item() < self.codebook_start:
            return False
        self.codes.copy_(agreed(centres(torch.cat(list(self._kept)), len(self.codes))))
        self.initialised.fill_(True)
        self._kept.clear()
        return True

    @torch.no_grad()
    def prepare(self, u: Tensor) -> None:
        """Places the prototypes on the first training batch; later moves those that are no longer chosen."""
        if not self._seen_initialised:
            self.initialise(u)
        elif self.revive_after:
            self.revive(u)

    def initialise(self, u: Tensor) -> None:
        """Places the prototypes unless a checkpoint has.  Args: u (n, code_size), this process's part of the batch."""
        if not self.initialised.item():
            self.codes.copy_(agreed(spread_seeds(gathered(u), len(self.codes))))
            self.initialised.fill_(True)
        self._seen_initialised = True

    def revive(self, u: Tensor) -> None:
        """Moves prototypes that were idle for `revive_after` steps to random pairs of this batch."""
        counts = chosen(nearest(u, self.codes), len(self.codes))
        if several_processes():
            distributed.all_reduce(counts)
        idle = torch.where(counts > 0, 0, self.idle + 1)
        dead = idle >= self.revive_after
        pairs = gathered(u)
        drawn = torch.randint(len(pairs), size=(len(self.codes),), device=u.device)
        self.codes.copy_(torch.where(dead[:, None], agreed(pairs[drawn]), self.codes))
        self.idle.copy_(torch.where(dead, 0, idle))


class GumbelQuantizer(Quantizer):
    """a_t = c_q, q ~ softmax(logits(U(d_t))) by the Gumbel trick, one-hot, straight-through.  ["Gumbel" of Table 3]

    In evaluation q is the most likely action. Both terms of Eq. (6) are 0.

    Args: temperature: of the softmax whose gradient is used.
    """

    def __init__(self, sizes: QuantizerSizes, temperature: float = 1.0) -> None:
        super().__init__(sizes)
        self.temperature = temperature
        self.logits = nn.Linear(in_features=sizes.code_size, out_features=sizes.actions)

    def forward(self, u: Tensor) -> Quantized:
        """Args: u U(d_t) (n, code_size).   Returns: index, code, and zeros for the terms of Eq. (6)."""
        with torch.autocast(device_type=u.device.type, enabled=False):
            logits = self.logits(u.float())
            if self.training:
                share = F.gumbel_softmax(logits, tau=self.temperature, hard=True)
            else:
                share = F.one_hot(logits.argmax(dim=1), num_classes=len(self.codes)).to(logits.dtype)
            index = share.detach().argmax(dim=1)
            if self.training:
                self.add_counts(chosen(index, len(self.codes)))
            return Quantized(index=index, code=share @ self.codes, commitment=u.new_zeros(()), codebook=u.new_zeros(()))


def make_quantizer(kind: Literal["vq", "gumbel"], sizes: QuantizerSizes) -> Quantizer:
    """The quantizer of that name."""
    return VectorQuantizer(sizes) if kind == "vq" else GumbelQuantizer(sizes)


def nearest(u: Tensor, codes: Tensor) -> Tensor:
    """argmin_k ‖c_k - u‖².  Args: u (n, code_size); codes (k, code_size).   Returns: (n,) int64."""
    # Computed from differences: the expanded square loses the digits that tell two close prototypes apart.
    return torch.cdist(u, codes, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)


def chosen(index: Tensor, k: int) -> Tensor:
    """(k,) float32: how often each of k actions occurs in `index` (n,)."""
    return F.one_hot(index, num_classes=k).sum(dim=0, dtype=torch.float32)


def usage(counts: Tensor) -> Tensor:
    """Shares p_k of the actions.  Args: counts (k,).   Returns: (k,), whose sum is 1, or 0 if nothing was counted."""
    return counts / counts.sum().clamp(min=1)


def perplexity(counts: Tensor) -> Tensor:
    """exp(-Σ_k p_k log p_k): K if all actions are used alike, 1 if only one is used.  Args: counts (k,)."""
    return torch.special.entr(usage(counts)).sum().exp()


def spread_seeds(points: Tensor, k: int) -> Tensor:
    """k distinct points, each drawn in proportion to its squared distance from the nearest point drawn before.

    [Arthur & Vassilvitskii 2007, k-means++]  If fewer points are distinct, the rest are points moved a little at
    random.

    Args: points (n, d).   Returns: (k, d).
    """
    first = torch.randint(len(points), size=(1,), device=points.device)
    seeds = points[first]
    # Two points closer than rounding count as one: the nearest-prototype rule would never choose the second.
    scale = points.std(dim=0, correction=0).norm().clamp(min=1e-3)
    while len(seeds) < k:
        squared = torch.cdist(points, seeds).amin(dim=1).square()
        if squared.amax() > (1e-4 * scale) ** 2:
            seed = points[torch.multinomial(squared, num_samples=1)]
        else:
            drawn = torch.randint(len(points), size=(1,), device=points.device)
            seed = points[drawn] + scale * 0.1 * torch.randn_like(points[drawn])
        seeds = torch.cat([seeds, seed])
    return seeds


def centres(points: Tensor, k: int, *, rounds: int = 20) -> Tensor:
    """k-means from `spread_seeds`: (n, d) -> (k, d). A seed that is nearest to no point stays."""
    codes = spread_seeds(points, k)
    for _ in range(rounds):
        share = F.one_hot(nearest(points, codes), num_classes=k).to(points.dtype)
        counts = share.sum(dim=0)[:, None]
        codes = torch.where(counts > 0, share.T @ points / counts.clamp(min=1), codes)
    return codes
