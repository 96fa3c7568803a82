"""The page on which models of one action a frame are played: numbers act, and every key press draws a frame."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor

from vdsm_glass.play.controls import GlassControls, Verb
from vdsm_glass.play.page import set_pressed, tag
from vdsm_glass.play.page_glass import GlassTab, add_tab
from vdsm_glass.play.session_actions import ActionSession
from vdsm_glass.play.session_glass import Move

KEYS = "Space repeats the last action. Escape stops what is playing."


class ActionControls(GlassControls):
    """Keys without those that shift, and without a mask."""

    def press(self, key: str, *, shift: bool = False) -> Move | Verb | None:  # noqa: ARG002
        """What a key asks for; see `GlassControls.press`."""
        known = key.isdecimal() or key in (" ", "Backspace", "Escape") or key.lower() in ("u", "r", "p")
        return super().press(key) if known else None


class ActionsTab(GlassTab):
    """As `GlassTab`, without what shifts."""

    clip_keys: ClassVar = {key: GlassTab.clip_keys[key] for key in "urp"}

    def controls_of(self, actions: int) -> ActionControls:
        return ActionControls(actions=actions, short=False)

    def session_of(self, first: Tensor) -> ActionSession:
        return ActionSession(self.model.network, first)

    def moves_in(self, video: Tensor) -> list[Move]:
        return [Move(action=action) for action in self.model.actions(video).local_action.tolist()]

    def build_controls(self) -> None:
        """Builds the buttons; each stands for a key."""
        self.build_actions("Action")
        self.build_clip_keys()
        tag("p", "dim keys", KEYS)

    def show_controls(self) -> None:
        """Shows the settings."""
        for k, made in enumerate(self.actions):
            set_pressed(made, k == self.controls.action)


add = partial(add_tab, ActionsTab)
"""The page at an address; see `vdsm_glass.generate.vocabulary.Model.page`."""
