"""The verbs of models that are controlled by one of K actions a frame."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.discrete.network import DiscreteActions, DiscreteNetwork, animate
from vdsm_glass.generate.animated import AnimatedModel
from vdsm_glass.generate.vocabulary import LONG, STEPS, at_least
from vdsm_glass.media import Source


class DiscreteModel(AnimatedModel):
    """A trained `DiscreteNetwork`."""

    can = ("reconstruct", "transfer", "swap", "rollout", "actions", "animate", "action_matrix")
    network_arguments = ("sizes",)
    page = "vdsm_glass.play.page_actions.add"
    network: DiscreteNetwork

    @property
    def k(self) -> int:
        return self.network.actions

    @torch.no_grad()
    def inferred(self, clips: Tensor) -> DiscreteActions:
        return DiscreteActions(self.network.infer(2 * clips - 1))

    def drawn(self, first: Tensor, actions: DiscreteActions) -> Tensor:
        return animate(self.network, first, actions.local_action.expand(len(first), -1))

    def teacher_forced(self, video: Source) -> Tensor:
        clips, one = self.moving(video)
        return self.result(animate(self.network, clips[:, 0], self.inferred(clips).local_action, real=clips), one)

    def rollout(
        self,
        video: Source,
        *,
        steps: int = LONG,
        dynamics: Literal["posterior", "prior"] = "posterior",
        seed: int | None = None,
    ) -> Tensor:
        """The first frame of a video moved by its actions, which begin again at their end: ([b,] steps, 3, h, w).

        Args: dynamics, "prior" draws every action uniformly, with `seed`.
        """
        clips, one = self.batch(video) if dynamics == "prior" else self.moving(video)
        shape = (len(clips), at_least(steps, 1, "steps") - 1)
        if dynamics == "prior":
            action = torch.randint(self.k, shape, generator=self.generator(seed or 0), device=self.device)
        else:
            found = self.inferred(clips).local_action
            action = found[:, torch.arange(shape[1], device=self.device) % found.shape[1]]
        return self.result(animate(self.network, clips[:, 0], action), one)

    def action_matrix(
        self,
        first: Source,
        *,
        of: Literal["local", "global"] = "local",
        steps: int = STEPS,
        pixels: float | None = None,  # noqa: ARG002
        local_action: int = 0,  # noqa: ARG002
    ) -> Tensor:
        """Each action held: (n, K, steps + 1, 3, h, w).  Raises: UserError, shifts are asked for, which it has none."""
        if of == "global":
            raise UserError(f"{self.title} has no global actions, only {self.k} local ones; leave --kind out")
        frames = self.batch(first)[0][:, 0]
        actions = torch.arange(self.k, device=self.device)
        held = repeat(actions, "k -> (n k) t", n=len(frames), t=at_least(steps, 1, "steps"))
        drawn = animate(self.network, repeat(frames, "n ... -> (n k) ...", k=self.k), held)
        return self.result(rearrange(drawn, "(n k) ... -> n k ...", n=len(frames)))
