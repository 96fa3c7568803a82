"""Local actions as one of K prototypes: vector quantization, and the Gumbel ablation.  [GLASS Eq. (6), Table 3]"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from vdsm_glass.glass.codebook import agreed, centres, chosen, gathered, nearest, several_processes, spread_seeds
from vdsm_glass.glass.sizes import LMASizes

KEPT = 16
"""Steps whose U(d_t) the centres are made of."""


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

    The counts are each process's own, so they are no buffer: DDP would overwrite them with the first process's.

    Args: sizes: K, `actions`, and `code_size`.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(sizes.actions, sizes.code_size))
        self._counts: Tensor | None = None

    def take_counts(self) -> Tensor:
        """(K,) float32: how often this process chose each action in training since the last call; starts anew."""
        counts, self._counts = self._counts, None
        return torch.zeros_like(self.codes[:, 0]).detach() if counts is None else counts

    def add_counts(self, counts: Tensor) -> None:
        """Counts (K,) actions as chosen in training."""
        self._counts = counts if self._counts is None else counts + self._counts.to(counts.device)


class VectorQuantizer(Quantizer):
    """a_t = c_q, q = argmin_k ‖c_k - U(d_t)‖²; da_t/dU(d_t) is taken to be 1 (straight-through).  [GLASS Eq. (6)]

    Prototypes chosen at random would leave most of them far from all U(d_t) and never chosen. They start as K distinct
    U(d_t) of the first training batch, spread as k-means++ spreads its seeds, the same on all processes.

    With `codebook_start` they start later, as centres of what the last `KEPT` steps gave; until then a_t is U(d_t).
    The few vectors of a first batch, of a network that has learned nothing, tell clips apart and not what is done.

    All in float32 under autocast too.

    Args: sizes: K, `code_size`, `revive_after` and `codebook_start`.
    """

    initialised: Tensor
    idle: Tensor

    def __init__(self, sizes: LMASizes) -> None:
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
        # Spares every later step the question to the device.
        self._seen_initialised = False

    def forward(self, u: Tensor) -> Quantized:
        """Args: u U(d_t) (n, code_size).   Returns: index, code and, each a mean over pairs and dimensions,

        commitment ‖sg[c_q] - U(d_t)‖² and codebook ‖c_q - sg[U(d_t)]‖².
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
        """Places the prototypes on the first training batch, and later those that nobody chooses."""
        if not self._seen_initialised:
            self.initialise(u)
        elif self.revive_after:
            self.revive(u)

    def initialise(self, u: Tensor) -> None:
        """Places the prototypes, unless a checkpoint brought some.  Args: u (n, code_size), this process's part."""
        if not self.initialised.item():
            self.codes.copy_(agreed(spread_seeds(gathered(u), len(self.codes))))
            self.initialised.fill_(True)
        self._seen_initialised = True

    def revive(self, u: Tensor) -> None:
        """Puts prototypes that were idle for `revive_after` steps on pairs of this batch."""
        counts = chosen(nearest(u, self.codes), len(self.codes))
        if several_processes():
            distributed.all_reduce(counts)
        idle = torch.where(counts > 0, 0, self.idle + 1)
        dead = idle >= self.revive_after
        everybody = gathered(u)
        drawn = torch.randint(len(everybody), size=(len(self.codes),), device=u.device)
        self.codes.copy_(torch.where(dead[:, None], agreed(everybody[drawn]), self.codes))
        self.idle.copy_(torch.where(dead, 0, idle))


class GumbelQuantizer(Quantizer):
    """a_t = c_q, q ~ softmax(logits(U(d_t))) by the Gumbel trick, one-hot, straight-through.  ["Gumbel" of Table 3]

    In evaluation q is the most likely action. There is nothing to commit to: both terms of Eq. (6) are 0.

    Args: sizes: K and `code_size`. temperature: of the softmax whose gradient is used.
    """

    def __init__(self, sizes: LMASizes, temperature: float = 1.0) -> None:
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


def make_quantizer(sizes: LMASizes) -> Quantizer:
    """The quantizer that `sizes.quantizer` names."""
    return VectorQuantizer(sizes) if sizes.quantizer == "vq" else GumbelQuantizer(sizes)
