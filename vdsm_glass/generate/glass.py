"""The verbs and protocols of GLASS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from einops import rearrange, repeat
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.generate.animated import AnimatedModel
from vdsm_glass.generate.vocabulary import STEPS, at_least
from vdsm_glass.glass.animation import ActionSequence, Animation, animate, infer
from vdsm_glass.glass.gma import Foregrounds
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.layers.shift import shift
from vdsm_glass.media import Source
from vdsm_glass.sizes import as_sizes

SHIFTS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1), "stay": (0, 0)}
"""The columns of a matrix of global actions, in the paper's order: (x, y), x to the right and y down."""


class GLASSModel(AnimatedModel):
    """Foreground, global shifts, local actions and a recurrent renderer."""

    title = "GLASS"
    network_arguments = ("gma", "lma", "theta", "shifts_from_inpainted")
    page = "vdsm_glass.play.page_glass.add"
    web = "vdsm_glass.web.glass.page"
    network: GLASS

    @property
    def frame_multiple(self) -> int:
        return LMASizes.FRAME_MULTIPLE

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> GLASS:
        return GLASS(
            gma=as_sizes(arguments["gma"], GMASizes),
            lma=as_sizes(arguments["lma"], LMASizes),
            theta=arguments["theta"],
            shifts_from_inpainted=arguments["shifts_from_inpainted"],
        )

    @property
    def about(self) -> str:
        return (
            "GLASS separates an agent from its background in videos without labels, and moves it by global shifts and "
            f"by one of {self.k} local actions a frame [Davtyan & Favaro, arXiv 2204.06558]."
        )

    @property
    def k(self) -> int:
        """K, the number of local actions."""
        return len(self.network.lma.codes)

    def inferred(self, clips: Tensor) -> ActionSequence:
        return infer(self.network, clips).actions

    def drawn(self, first: Tensor, actions: ActionSequence) -> Tensor:
        return animate(self.network, first, actions).video

    @torch.no_grad()
    def teacher_forced(self, video: Source) -> Tensor:
        """Frames 2..T, each from the *real* frame before it, as the authors' evaluation draws them; frame 1 is real."""
        clips, one = self.moving(video)
        layers, motion = self.network.gma(2 * clips - 1)
        drawn = self.network.rollout(Foregrounds.of(layers, motion), T_f=clips.shape[1])
        b, steps = motion.delta_B.shape[:2]
        moved = shift(
            repeat(layers.b_hat[:, 0], "b c h w -> (b t) c h w", t=steps),
            rearrange(motion.delta_B.cumsum(dim=1), "b t k -> (b t) k"),
            padding="border",
        )
        background = rearrange(moved, "(b t) c h w -> b t c h w", b=b)
        f, m = drawn.split([3, 1], dim=2)
        frames = f * m + background * (1 - m)
        return self.result(torch.cat([clips[:, :1], ((frames + 1) / 2).clamp(0, 1)], dim=1), one)

    def action_matrix(
        self,
        first: Source,
        *,
        of: Literal["local", "global"] = "local",
        steps: int = STEPS,
        pixels: float | None = None,
        local_action: int = 0,
    ) -> Tensor:
        """Each local action held without a shift, or each of `SHIFTS` held.  [GLASS appendix D, Figs. 13-18]"""
        frames = self.batch(first)[0][:, 0]
        at_least(steps, 1, "steps")
        if of == "global":
            return self.result(self.shifted(frames, pixels=pixels, local_action=local_action, steps=steps).video)
        actions, still = torch.arange(self.k), torch.zeros(self.k, 2)
        return self.result(hold(self.network, frames, actions, still, steps=steps).video)

    def overlay(self, first: Source, *, pixels: float | None = None, local_action: int = 0) -> Tensor:
        """Where each of `SHIFTS` takes the foreground: before it in green, after it in red.  [GLASS Fig. 7]

        What has not moved is yellow. Args: as `action_matrix`.   Returns: (n, 5, 3, h, w) in [0, 1].
        """
        moved = self.shifted(self.batch(first)[0][:, 0], pixels=pixels, local_action=local_action, steps=1)
        # Over black, brightness is what the mask leaves of the foreground's own.
        light = ((moved.foreground + 1) / 2 * moved.mask).clamp(0, 1).mean(dim=-3)
        before, after = light.unbind(dim=2)
        return self.result(torch.stack([after, before, torch.zeros_like(before)], dim=2))

    def shifted(self, first: Tensor, *, pixels: float | None, local_action: int, steps: int) -> Animation:
        """Each of `SHIFTS`, held with one local action.  Raises: UserError, there is no such local action."""
        if not 0 <= local_action < self.k:
            raise UserError(f"local_action is {local_action}, expected 0 to {self.k - 1}: the network has {self.k}")
        pixels = first.shape[-1] / 24 if pixels is None else pixels
        shifts = pixels * torch.tensor(list(SHIFTS.values()), dtype=torch.float32)
        return hold(self.network, first, torch.full((len(shifts),), local_action), shifts, steps=steps)


def hold(net: GLASS, first: Tensor, local_action: Tensor, foreground_shift: Tensor, *, steps: int) -> Animation:
    """Every first frame under each of m actions, held for `steps`, before a background that stays.

    Args: first (n, 3, h, w) in [0, 1]; local_action (m,) int64; foreground_shift (m, 2) in pixels.
    Returns: an animation of (n, m, steps + 1, ...).
    """
    n, m = len(first), len(local_action)
    shifts = repeat(foreground_shift.to(first), "m xy -> (n m) t xy", n=n, t=steps)
    actions = ActionSequence(
        foreground_shift=shifts,
        local_action=repeat(local_action.to(first.device), "m -> (n m) t", n=n, t=steps),
        background_shift=torch.zeros_like(shifts),
    )
    drawn = animate(net, repeat(first, "n ... -> (n m) ...", m=m), actions)
    return Animation(*(rearrange(part, "(n m) ... -> n m ...", m=m) for part in vars(drawn).values()))
