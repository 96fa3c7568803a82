"""The verbs and protocols of GLASS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from einops import rearrange, repeat
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.generate.vocabulary import STEPS, GenerationProtocol, Model, at_least
from vdsm_glass.glass.animation import ActionSequence, Animation, animate, infer
from vdsm_glass.glass.gma import Foregrounds
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.layers.shift import shift
from vdsm_glass.media import Source
from vdsm_glass.sizes import as_sizes

SHIFTS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1), "stay": (0, 0)}
"""The columns of a matrix of global actions, in the paper's order: (x, y), x to the right and y down."""
LARGEST = 512
"""Pixels of the shorter side that GLASS draws if the size it was trained on is not known."""


class GLASSModel(Model):
    """Foreground, global shifts, local actions and a recurrent renderer."""

    title = "GLASS"
    can = ("reconstruct", "transfer", "swap", "actions", "animate", "action_matrix")
    network_arguments = ("gma", "lma", "theta", "shifts_from_inpainted")
    page = "vdsm_glass.play.page_glass.add"
    web = "vdsm_glass.web.glass.page"
    network: GLASS
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        "reconstruction": GenerationProtocol(
            lambda model, video, *_: model.reconstruct(video), about="first frame and inferred actions", given=1
        ),
        "teacher_forced": GenerationProtocol(
            lambda model, video, *_: model.teacher_forced(video),
            about="every real frame before, inferred actions",
            given=1,
        ),
        "transfer": GenerationProtocol(
            lambda model, video, other, _: model.transfer(video, other),
            about="another clip's first frame",
            paired=False,
            needs_others=True,
            given=1,
        ),
    }

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

    def frame_size(self, trained_on: tuple[int, int] | None) -> tuple[int, int] | None:
        """The size it was trained on, unless the network cannot take frames of that size."""
        fits = trained_on is not None and not any(side % LMASizes.FRAME_MULTIPLE for side in trained_on)
        return trained_on if fits else None

    def fit(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        share = min(1.0, LARGEST / min(height, width))
        multiple = LMASizes.FRAME_MULTIPLE
        return max(1, round(height * share / multiple)) * multiple, max(1, round(width * share / multiple)) * multiple

    def reconstruct(self, video: Source) -> Tensor:
        """animate(x_1, infer(x)); the first frame is the one that was given.  [GLASS Figs. 11, 12]"""
        clips, one = self.moving(video)
        return self.result(animate(self.network, clips[:, 0], infer(self.network, clips).actions).video, one)

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        """animate(y_1, infer(x)): other frames of the target are not looked at.  [GLASS Fig. 5]"""
        clips, first, one = self.pairs(source, target)
        steps = clips.shape[1] if steps is None else at_least(steps, 1, "steps")
        if steps > clips.shape[1]:
            raise UserError(
                f"{steps} frames are asked for, but the source has {clips.shape[1]}: GLASS takes actions from them"
            )
        found = infer(self.network, moving(clips)).actions.map(lambda value: value[:, : steps - 1])
        return self.result(animate(self.network, first[:, 0], found).video, one)

    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        clips = self.moving(videos)[0]
        first = (clips if identities is None else self.batch(identities)[0])[:, 0]
        n, m = len(first), len(clips)
        found = infer(self.network, clips).actions.map(lambda value: repeat(value, "m ... -> (n m) ...", n=n))
        drawn = animate(self.network, repeat(first, "n ... -> (n m) ...", m=m), found).video
        return self.result(rearrange(drawn, "(n m) t c h w -> n m t c h w", n=n))

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

    def actions(self, video: Source) -> ActionSequence:
        clips, one = self.moving(video)
        return infer(self.network, clips).actions.map(lambda value: self.result(value, one))

    def animate(self, first: Source, actions: ActionSequence) -> Tensor:
        pictures, one = self.batch(first)
        given = actions.map(lambda value: value.to(self.device))
        given = given.map(lambda value: value.unsqueeze(dim=0)) if actions.local_action.ndim == 1 else given
        if len(given.local_action) not in (1, len(pictures)):
            raise UserError(f"actions of {len(given.local_action)} videos cannot move {len(pictures)} first frames")
        return self.result(animate(self.network, pictures[:, 0], given).video, one)

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

    def moving(self, source: Source) -> tuple[Tensor, bool]:
        """`batch`.  Raises: UserError, the videos are single pictures."""
        clips, one = self.batch(source)
        return moving(clips), one


def moving(clips: Tensor) -> Tensor:
    """The clips.  Raises: UserError, they have one frame each."""
    if clips.shape[1] < 2:
        raise UserError("a video of one frame shows no action; give one of at least two")
    return clips


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
