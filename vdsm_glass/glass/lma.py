"""Local Motion Analysis: local actions from pairs of foregrounds, and the next foreground from them.  [GLASS Fig. 3]"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vdsm_glass.glass.action import ActionNetwork, AgentLook
from vdsm_glass.glass.decoder import make_decoder
from vdsm_glass.glass.encoder import Compressor, Encoder
from vdsm_glass.glass.outline import OutlineDecoder
from vdsm_glass.glass.rnn import RNN, RNNState
from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.layers.blocks import frozen_statistics
from vdsm_glass.layers.quantizer import make_quantizer

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
        outline: logits (b, t-1, side, side) of the outlines of frames 2..T, from the actions alone; None without them.
        edges: (b, t-1, side, side) within these outlines, likewise.
    """

    frames: tuple[Tensor, ...]
    mask: Tensor
    phi: Tensor
    phi_hat: Tensor
    actions: Actions
    outline: Tensor | None = None
    edges: Tensor | None = None


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
        self.A = ActionNetwork(sizes) if sizes.look == "features" else AgentLook(sizes)
        self.VQ = make_quantizer(sizes.quantizer, sizes)
        self.RNN = RNN(sizes)
        self.D = make_decoder(sizes)
        self.O = OutlineDecoder(sizes) if sizes.outline else None
        self.edges = OutlineDecoder(sizes) if sizes.edges else None

    def finish_actions(self) -> None:
        """Leaves A, the codebook and the outlines as they are, in evaluation mode, until `train` is called."""
        for part in (self.A, self.VQ, self.O, self.edges):
            if part is not None:
                part.eval()

    @property
    def actions_finished(self) -> bool:
        """Whether actions are left as they are."""
        return not self.A.training

    def actions(self, f: Tensor, f_shifted: Tensor, m: Tensor | None = None) -> Actions:
        """a_t = VQ[U(d_t)] from φ̃_t = E(f_t∘Δ_F) and φ_{t+1} = E(f_{t+1}).  [GLASS Fig. 3]

        E is called once, on 2T - 1 foregrounds of each clip, and while A learns with `recolour` on 3T - 2, because A
        then sees other colours than the rest. An A that looks at the agent sees f and m; E is called on f alone.

        Args:
            f: f_1..f_T (b, t, 3, h, w). f_shifted: f_t∘Δ_F (b, t-1, 3, h, w). m: the masks of f (b, t, 1, h, w), needed
                where A looks at the agent. All detached from GMA.

        Raises: ValueError, no masks where they are needed.
        """
        b, steps = f_shifted.shape[:2]
        phi, u = self.looked_at(f, m) if isinstance(self.A, AgentLook) else self.compared(self.A, f, f_shifted)
        quantized = self.VQ(u.detach() if self.training and self.actions_finished else u)
        return Actions(
            index=rearrange(quantized.index, "(b t) -> b t", b=b),
            a=rearrange(quantized.code, "(b t) k -> b t k", b=b),
            u=rearrange(u, "(b t) k -> b t k", b=b),
            commitment=quantized.commitment,
            codebook=quantized.codebook,
            phi=phi[:, : steps + 1],
        )

    def compared(self, network: ActionNetwork, f: Tensor, f_shifted: Tensor) -> tuple[Tensor, Tensor]:
        """φ of f (b, t, ...), and U(d_t) (b t-1, code_size) by features.  Args: as `actions`."""
        b, steps = f_shifted.shape[:2]
        frames = torch.cat([f, f_shifted], dim=1)
        if recolour := self.sizes.recolour and self.A.training:
            frames = torch.cat([f, recoloured(torch.cat([f[:, 1 : steps + 1], f_shifted], dim=1))], dim=1)
        seen = self.E(rearrange(frames, "b t c h w -> (b t) c h w"))
        phi, attended = (rearrange(maps, "(b t) c h w -> b t c h w", b=b) for maps in (seen.phi, seen.attended))
        # With other colours f is there once for φ, and once more for A.
        first = f.shape[1] if recolour else 1
        following, shifted = attended[:, first : first + steps], attended[:, -steps:]
        pair = (rearrange(maps, "b t c h w -> (b t) c h w") for maps in (shifted, following))
        return phi, network(*pair)

    def looked_at(self, f: Tensor, m: Tensor | None) -> tuple[Tensor, Tensor]:
        """φ of f (b, t, ...), and U (b t-1, code_size) by windows around the agent.  Args: as `actions`."""
        if m is None:
            raise ValueError("look is agent, expected the masks m of the foregrounds, too")
        phi = rearrange(self.E(rearrange(f, "b t c h w -> (b t) c h w")).phi, "(b t) c h w -> b t c h w", b=len(f))
        shown = recoloured(f) if self.sizes.recolour and self.A.training else f
        return phi, self.A(shown, m)

    def forward(self, f: Tensor, f_shifted: Tensor, delta_F: Tensor, *, T_f: int, m: Tensor | None = None) -> Rollout:
        """f̂_2..f̂_T with teacher forcing: e_t is that of f_t for t <= T_f, of f̂_t after.  [GLASS section 4]

        While inputs are real foregrounds, only the ConvLSTMs run step by step. Gradients pass through predictions that
        are encoded again.

        Args:
            f: f_1..f_T (b, t, 3, h, w). f_shifted: f_t∘Δ_F (b, t-1, 3, h, w). delta_F: (b, t-1, 2) in grid units.
                All three detached from GMA. h and w are multiples of `sizes.FRAME_MULTIPLE`.
            T_f: how many real foregrounds are fed, 1 or more; from T - 1 on, all of them.
            m: masks of frames 1..T (b, t, 1, h, w), detached from GMA; only drawn changes look at them.

        Raises: ValueError, T_f below 1, or no masks where changes are drawn.
        """
        if T_f < 1:
            raise ValueError(f"T_f is {T_f}, expected 1 or more: a rollout needs a first frame")
        actions = self.actions(f, f_shifted, m)
        steps = delta_F.shape[1]
        state = self.initial_state(f.shape[0], height=f.shape[-2], width=f.shape[-1])
        segments: list[Segment] = []
        phi = actions.phi[:, : min(T_f, steps)]
        if m is None and self.sizes.drawing == "change":
            raise ValueError("drawing is change, expected the masks m of the foregrounds, too")
        layers = f if m is None else torch.cat([f, m], dim=2)
        first, present = layers[:, 0], layers[:, : phi.shape[1]]
        done = 0
        while done < steps:
            now = slice(done, done + phi.shape[1])
            sources = self.sources(first, present)
            segment, state = self.advance(phi, delta_F[:, now], actions.a[:, now], state, sources)
            segments.append(segment)
            done, phi = now.stop, segment[-1][:, -1:]
            present = torch.cat([segment[2], segment[3]], dim=2)[:, -1:]
        outline, edges = self.told(actions.a)
        *frames, mask, phi_hat = (torch.cat(parts, dim=1) for parts in zip(*segments, strict=True))
        return Rollout(
            frames=tuple(frames),
            mask=mask,
            phi=actions.phi[:, 1:],
            phi_hat=phi_hat,
            actions=actions,
            outline=outline,
            edges=edges,
        )

    def told(self, a: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The outlines and edges that actions a (b, t, code_size) tell by themselves, see `Rollout`."""
        return None if self.O is None else self.O(a), None if self.edges is None else self.edges(a)

    def sources(self, first: Tensor, present: Tensor) -> Tensor | None:
        """What D may copy from; None if it draws all.

        Args: first, the first foreground and its mask (b, 4, h, w); present, those before each step (b, t, 4, h, w).
        Returns: (b, t, 2, 4, h, w).
        """
        if self.sizes.drawing == "whole":
            return None
        return torch.stack([present, repeat(first, "b c h w -> b t c h w", t=present.shape[1])], dim=2)

    def advance(
        self, phi: Tensor, delta_F: Tensor, a: Tensor, state: RNNState, sources: Tensor | None
    ) -> tuple[Segment, RNNState]:
        """Some steps of a rollout whose φ_t are known, recomputed in the backward pass if `checkpoint` is set.

        Args: phi (b, t, features, h, w); delta_F (b, t, 2); a (b, t, code_size); state before the first step;
            sources as `sources` gives them.
        """
        if not (self.checkpoint and torch.is_grad_enabled()):
            return self.predict(phi, delta_F, a, state, sources)
        return checkpoint(
            self.predict, phi, delta_F, a, state, sources, use_reentrant=False, context_fn=self.checkpoint_contexts
        )  # pyright: ignore[reportReturnType]

    def predict(
        self, phi: Tensor, delta_F: Tensor, a: Tensor, state: RNNState, sources: Tensor | None
    ) -> tuple[Segment, RNNState]:
        """f̂_{t+1} at three scales, m̂_{t+1} and E(f̂_{t+1}), each (b, t, ...), and the state after the last step.

        Predictions do not enter E's running statistics. A step encodes real foregrounds once and predictions up to T -
        1 times, so the statistics would soon be those of predictions, and evaluation would see other features of real
        foregrounds, and other actions, than training did.
        """
        b = phi.shape[0]
        e = rearrange(self.C(rearrange(phi, "b t c h w -> (b t) c h w")), "(b t) c h w -> b t c h w", b=b)
        s, state = self.RNN(e, delta_F, a, state)
        source = None if sources is None else rearrange(sources, "b t i c h w -> (b t) i c h w")
        drawn = self.D(rearrange(s, "b t c h w -> (b t) c h w"), source)
        with frozen_statistics(self.E):
            phi_hat = self.E(drawn.frames[-1]).phi
        coarse, middle, fine, mask, phi_hat = (
            rearrange(part, "(b t) c h w -> b t c h w", b=b) for part in (*drawn.frames, drawn.mask, phi_hat)
        )
        return (coarse, middle, fine, mask, phi_hat), state

    def encode(self, f: Tensor) -> Tensor:
        """e = C(E(f)).  Args: f (b, 3, h, w).   Returns: (b, code_channels, h / 8, w / 8)."""
        return self.C(self.E(f).phi)

    def step(
        self, e: Tensor, delta_F: Tensor, a: Tensor, state: RNNState, sources: Tensor | None = None
    ) -> tuple[Tensor, Tensor, RNNState]:
        """One step of a rollout, for playing.

        Args: e of the present foreground (b, code_channels, h / 8, w / 8), see `encode`; delta_F (b, 2) in grid units;
            a (b, code_size), rows of `codes`; state; sources (b, 1, 2, 4, h, w), where changes are drawn.
        Returns: f̂ (b, 3, h, w) in [-1, 1], m̂ (b, 1, h, w) in [0, 1], and the next state.
        """
        s, state = self.RNN(e[:, None], delta_F[:, None], a[:, None], state)
        drawn = self.D(s[:, 0], None if sources is None else sources[:, 0])
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


def recoloured(f: Tensor) -> Tensor:
    """Foregrounds (b, t, 3, h, w), each clip's colours rotated or mirrored about grey at random, which stays grey."""
    turn, upper = torch.linalg.qr(torch.randn(f.shape[0], 3, 3, device=f.device))
    # Without the signs the rotations would not be uniform.
    turn = turn * torch.sign(torch.diagonal(upper, dim1=1, dim2=2))[:, None]
    return torch.einsum("b i j, b t j h w -> b t i h w", turn.to(f.dtype), f)
