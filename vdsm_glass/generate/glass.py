"""GLASS."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.generate.action_matrices import STEPS, global_actions, local_actions
from vdsm_glass.generate.reconstruct import reconstruct
from vdsm_glass.generate.transfer import transfer
from vdsm_glass.generate.vocabulary import Model, at_least, unbatched
from vdsm_glass.glass.animation import ActionSequence, animate, infer
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.media import Source

LARGEST = 512
"""Pixels of the shorter side that a GLASS draws where nobody says which size it was trained on."""


class GLASSModel(Model):
    """Foreground, global shifts, local actions and a recurrent renderer."""

    name = "GLASS"
    can = ("reconstruct", "transfer", "swap", "actions", "animate", "action_matrix")
    network: GLASS

    def fit(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        share = min(1.0, LARGEST / min(height, width))
        multiple = LMASizes.FRAME_MULTIPLE
        return max(1, round(height * share / multiple)) * multiple, max(1, round(width * share / multiple)) * multiple

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        clips, first, one = self.pairs(source, target)
        steps = clips.shape[1] if steps is None else at_least(steps, 1, "steps")
        self.check_steps(steps, clips.shape[1])
        found = infer(self.network, moving(clips)).actions.map(lambda value: value[:, : steps - 1])
        return unbatched(animate(self.network, first[:, 0], found).video, one)

    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        clips = moving(self.batch(videos)[0])
        return transfer(self.network, clips, clips if identities is None else self.batch(identities)[0]).cpu()

    def reconstruct(self, video: Source) -> Tensor:
        clips, one = self.batch(video)
        return unbatched(reconstruct(self.network, moving(clips)), one)

    def actions(self, video: Source) -> ActionSequence:
        clips, one = self.batch(video)
        return infer(self.network, moving(clips)).actions.map(lambda value: unbatched(value, one))

    def animate(self, first: Source, actions: ActionSequence) -> Tensor:
        pictures, one = self.batch(first)
        given = actions.map(lambda value: value.to(self.device))
        given = given.map(lambda value: value.unsqueeze(dim=0)) if actions.local_action.ndim == 1 else given
        if len(given.local_action) not in (1, len(pictures)):
            raise UserError(f"actions of {len(given.local_action)} videos cannot move {len(pictures)} first frames")
        return unbatched(animate(self.network, pictures[:, 0], given).video, one)

    def action_matrix(
        self,
        first: Source,
        *,
        of: Literal["local", "global"] = "local",
        steps: int = STEPS,
        pixels: float | None = None,
    ) -> Tensor:
        pictures = self.batch(first)[0][:, 0]
        at_least(steps, 1, "steps")
        if of == "local":
            return local_actions(self.network, pictures, steps=steps).cpu()
        pixels = pictures.shape[-1] / 24 if pixels is None else pixels
        return global_actions(self.network, pictures, pixels=pixels, steps=steps).cpu()

    def check_steps(self, steps: int, found: int) -> None:
        """Raises: UserError, more frames are asked for than have actions."""
        if steps > found:
            raise UserError(f"{steps} frames are asked for, but the source has {found}: GLASS takes actions from them")


def moving(clips: Tensor) -> Tensor:
    """The clips.  Raises: UserError, they are pictures."""
    if clips.shape[1] < 2:
        raise UserError("a video of one frame shows no action; give one of at least two")
    return clips
