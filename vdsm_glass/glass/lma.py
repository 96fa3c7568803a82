"""Local Motion Analysis: local actions from pairs of foregrounds, and the next foreground from them.  [GLASS Fig. 3]"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vdsm_glass.glass.action import ActionNetwork
from vdsm_glass.glass.decoder import Decoder
from vdsm_glass.glass.encoder import Compressor, Encoder
from vdsm_glass.glass.quantizer import make_quantizer
from vdsm_glass.glass.rnn import RNN, RNNState
from vdsm_glass.glass.sizes import LMASizes

DOWN = 8


@dataclass(frozen=True)
class Actions:
    """Local actions between neighbouring frames, and E's features.

    Args:
        index: (b, t-1) int64, which action.
        a: (b, t-1, code_size), its prototype; gradients pass straight through to the action network.
        u: (b, t-1, code_size), U(d_t), to which the prototype is the nearest.
        commitment, codebook: the two terms of Eq. (6) without λ_VQ, scalars; 0 with the Gumbel quantizer.
        phi: φ_1..φ_T (b, t, features, h / 8, w / 8) of the real foregrounds.
    """

    index: Tensor
    a: Tensor
    u: Tensor
    commitment: Tensor
    codebook: Tensor
    phi: Tensor


@dataclass(frozen=True)
class Rollout:
    """Predicted foregrounds of frames 2..T, and the features with which they are compared.

    Args:
        frames: f̂ at a quarter, half and all of the resolution, each (b, t-1, 3, h_s, w_s) in [-1, 1].
        mask: m̂ (b, t-1, 1, h, w) in [0, 1].
        phi: φ of the real foregrounds 2..T (b, t-1, features, h / 8, w / 8), with gradient.
        phi_hat: E(f̂) of the predicted ones, of the same shape.
        actions: inferred from the real foregrounds.
    """

    frames: tuple[Tensor, ...]
    mask: Tensor
    phi: Tensor
    phi_hat: Tensor
    actions: Actions


Segment = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Some steps of a rollout: f̂_{t+1} at three scales, its mask, its features."""


class LMA(nn.Module):
    """E, C, A, VQ, RNN and D.  [GLASS section 3.2]

    Args:
        sizes: widths and ablations.
        checkpoint: recompute a rollout's activations in the backward pass, segment by segment, which saves memory.
    """

    def __init__(self, sizes: LMASizes, *, checkpoint: bool = False) -> None:
        super().__init__()
        self.sizes = sizes
        self.checkpoint = checkpoint
        self.E = Encoder(sizes)
        self.C = Compressor(sizes)
        self.A = ActionNetwork(sizes)
        self.VQ = make_quantizer(sizes)
        self.RNN = RNN(sizes)
        self.D = Decoder(sizes)

    def actions(self, f: Tensor, f_shifted: Tensor) -> Actions:
        """a_t = VQ[U(d_t)] from φ̃_t = E(f_t∘Δ_F) and φ_{t+1} = E(f_{t+1}).  [GLASS Fig. 3]

        E is called once, on 2T - 1 foregrounds of each clip.

        Args: f f_1..f_T (b, t, 3, h, w); f_shifted f_t∘Δ_F (b, t-1, 3, h, w); both detached from GMA.
        """
        b, steps = f_shifted.shape[:2]
        seen = self.E(rearrange(torch.cat([f, f_shifted], dim=1), "b t c h w -> (b t) c h w"))
        phi = rearrange(seen.phi, "(b t) c h w -> b t c h w", b=b)
        attended = rearrange(seen.attended, "(b t) c h w -> b t c h w", b=b)
        following, shifted = attended[:, 1 : steps + 1], attended[:, steps + 1 :]
        u = self.A(rearrange(shifted, "b t c h w -> (b t) c h w"), rearrange(following, "b t c h w -> (b t) c h w"))
        quantized = self.VQ(u)
        return Actions(
            index=rearrange(quantized.index, "(b t) -> b t", b=b),
            a=rearrange(quantized.code, "(b t) k -> b t k", b=b),
            u=rearrange(u, "(b t) k -> b t k", b=b),
            commitment=quantized.commitment,
            codebook=quantized.codebook,
            phi=phi[:, : steps + 1],
        )

    def forward(self, f: Tensor, f_shifted: Tensor, delta_F: Tensor, *, T_f: int) -> Rollout:
        """f̂_2..f̂_T with teacher forcing: e_t is that of f_t for t <= T_f, of f̂_t after.  [GLASS section 4]

        While inputs are real foregrounds, only the ConvLSTMs run step by step. Gradients pass through predictions that
        are encoded again.

        Args:
            f: f_1..f_T (b, t, 3, h, w). f_shifted: f_t∘Δ_F (b, t-1, 3, h, w). delta_F: (b, t-1, 2) in grid units.
                All three detached from GMA. h and w are multiples of `sizes.FRAME_MULTIPLE`.
            T_f: how many real foregrounds are fed, 1 or more; from T - 1 on, all of them.

        Raises: ValueError, T_f below 1.
        """
        if T_f < 1:
            raise ValueError(f"T_f is {T_f}, expected 1 or more: a rollout needs a first frame")
        actions = self.actions(f, f_shifted)
        steps = delta_F.shape[1]
        state = self.initial_state(f.shape[0], height=f.shape[-2], width=f.shape[-1])
        segments: list[Segment] = []
        phi = actions.phi[:, : min(T_f, steps)]
        done = 0
        while done < steps:
            now = slice(done, done + phi.shape[1])
            segment, state = self.advance(phi, delta_F[:, now], actions.a[:, now], state)
            segments.append(segment)
            done, phi = now.stop, segment[-1][:, -1:]
        *frames, mask, phi_hat = (torch.cat(parts, dim=1) for parts in zip(*segments, strict=True))
        return Rollout(frames=tuple(frames), mask=mask, phi=actions.phi[:, 1:], phi_hat=phi_hat, actions=actions)

    def advance(self, phi: Tensor, delta_F: Tensor, a: Tensor, state: RNNState) -> tuple[Segment, RNNState]:
        """Some steps of a rollout whose φ_t are known, recomputed in the backward pass if `checkpoint` is set.

        Args: phi (b, t, features, h, w); delta_F (b, t, 2); a (b, t, code_size); state before the first step.
        """
        if not (self.checkpoint and torch.is_grad_enabled()):
            return self.predict(phi, delta_F, a, state)
        return checkpoint(
            self.predict, phi, delta_F, a, state, use_reentrant=False, context_fn=self.checkpoint_contexts
        )  # pyright: ignore[reportReturnType]

    def predict(self, phi: Tensor, delta_F: Tensor, a: Tensor, state: RNNState) -> tuple[Segment, RNNState]:
        """f̂_{t+1} at three scales, m̂_{t+1} and E(f̂_{t+1}), each (b, t, ...), and the state after the last step.

        Predictions do not enter E's running statistics. A step encodes real foregrounds once and predictions up to T -
        1 times, so the statistics would soon be those of predictions, and evaluation would see other features of real
        foregrounds, and other actions, than training did.
        """
        b = phi.shape[0]
        e = rearrange(self.C(rearrange(phi, "b t c h w -> (b t) c h w")), "(b t) c h w -> b t c h w", b=b)
        s, state = self.RNN(e, delta_F, a, state)
        drawn = self.D(rearrange(s, "b t c h w -> (b t) c h w"))
        with frozen_statistics(self.E):
            phi_hat = self.E(drawn.frames[-1]).phi
        coarse, middle, fine, mask, phi_hat = (
            rearrange(part, "(b t) c h w -> b t c h w", b=b) for part in (*drawn.frames, drawn.mask, phi_hat)
        )
        return (coarse, middle, fine, mask, phi_hat), state

    def encode(self, f: Tensor) -> Tensor:
        """e = C(E(f)).  Args: f (b, 3, h, w).   Returns: (b, code_channels, h / 8, w / 8)."""
        return self.C(self.E(f).phi)

    def step(self, e: Tensor, delta_F: Tensor, a: Tensor, state: RNNState) -> tuple[Tensor, Tensor, RNNState]:
        """One step of a rollout, for playing.

        Args: e of the present foreground (b, code_channels, h / 8, w / 8), see `encode`; delta_F (b, 2) in grid units;
            a (b, code_size), rows of `codes`; state.
        Returns: f̂ (b, 3, h, w) in [-1, 1], m̂ (b, 1, h, w) in [0, 1], and the next state.
        """
        s, state = self.RNN(e[:, None], delta_F[:, None], a[:, None], state)
        drawn = self.D(s[:, 0])
        return drawn.frames[-1], drawn.mask, state

    @property
    def codes(self) -> Tensor:
        """The prototypes c_k (k, code_size), which stand for local actions in the RNN."""
        return self.VQ.codes

    def initial_state(self, b: int, *, height: int, width: int) -> RNNState:
        """The state before the first of `b` clips' frames of height x width pixels.

        Raises: ValueError, a size that cannot be halved four times.
        """
        multiple = self.sizes.FRAME_MULTIPLE
        if height % multiple or width % multiple:
            raise ValueError(f"frames are {height}x{width}, expected height and width to be multiples of {multiple}")
        return self.RNN.initial_state(b, height // DOWN, width // DOWN)

    def checkpoint_contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The contexts of the forward pass and of its repetition, which must not enter running statistics again."""
        return nullcontext(), frozen_statistics(self)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """A context in which batch norm in training leaves its running statistics and their counters as they are."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    unread = torch.zeros_like(norms[0].num_batches_tracked)  # pyright: ignore[reportArgumentType]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, unread
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
