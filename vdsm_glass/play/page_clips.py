"""The page of a model that has none of its own: two clips, and a button for each of its verbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nicegui import ui
from nicegui.element import Element
from torch import Tensor

from vdsm_glass.generate.vocabulary import DENSITIES, Model
from vdsm_glass.pictures import grid
from vdsm_glass.play import media
from vdsm_glass.play.clips import Data, NamedClip, clips_to_play
from vdsm_glass.play.page import Tab, Words, button, recorders, set_pressed, tag

CLIPS = 8
VERBS: dict[str, Callable[[Model, Tensor, Tensor], Tensor]] = {
    "reconstruct": lambda model, a, _: model.reconstruct(a),
    "transfer": lambda model, a, b: model.transfer(a, b),
    "swap": lambda model, a, b: grid(model.swap([a, b])),
    "rollout": lambda model, a, _: model.rollout(a),
    "interpolate": lambda model, a, b: grid(model.interpolate(a, b)[None]),
    "action_matrix": lambda model, a, _: grid(model.action_matrix(a)),
    "sample": lambda model, *_: grid(model.sample(4)[None]),
}
"""What each verb shows of the clips A and B: (t, 3, h, w)."""


class ClipsTab(Tab):
    """The clips A and B, the verb, and what it makes."""

    look = "vdsm moving"

    def __init__(self, model: Model, clips: Sequence[NamedClip], *, about: str) -> None:
        self.clips = clips
        self.verbs = [verb for verb in VERBS if verb in model.can]
        self.verb, self.a, self.b = self.verbs[0], 0, len(clips) - 1
        self.video = clips[0].video
        super().__init__(model, about)

    def build(self) -> None:
        """Builds the screen, the verbs and the clips."""
        with tag("section", "panel stage", aria_label="The clip"):
            self.screen = tag("div", "screen film", role="img")
            self.said = Words("p")
            with tag("div", "row"):
                self.buttons = {
                    verb: button(verb.replace("_", " "), partial(self.choose, verb=verb), key=str(number))
                    for number, verb in enumerate(self.verbs, 1)
                }
                recorders(self.message, lambda: self.video)
        with tag("section", "panel", aria_label="Clips"):
            tag("h2", text="Choose A and B")
            with tag("div", "clips"):
                self.choices = [self.build_clip(number, clip) for number, clip in enumerate(self.clips)]

    def build_clip(self, number: int, clip: NamedClip) -> tuple[Element, Element]:
        """A picture of a clip, and the buttons that make it A or B."""
        name = f"{clip.identity}, {clip.action}"
        with tag("figure"):
            tag("img", src=media.data_url(media.png(clip.video[0])), alt=name)
            tag("figcaption", text=name, title=name)
            with tag("div", "row"):
                return (
                    button("A", partial(self.choose, a=number), label=f"{name} as A"),
                    button("B", partial(self.choose, b=number), label=f"{name} as B"),
                )

    async def press(self, key: str, *, shift: bool = False, repeat: bool = False) -> None:  # noqa: ARG002
        """A number key chooses a verb."""
        if key.isdecimal() and 0 < int(key) <= len(self.verbs):
            await self.choose(verb=self.verbs[int(key) - 1])

    async def choose(self, *, verb: str | None = None, a: int | None = None, b: int | None = None) -> None:
        """Changes what is given, and shows what follows."""
        self.verb = verb or self.verb
        self.a, self.b = self.a if a is None else a, self.b if b is None else b
        await self.message.guard(self.show())

    async def show(self) -> None:
        """What the verb makes of A and B."""
        a, b = self.clips[self.a].video, self.clips[self.b].video
        self.video = await self.play_film(self.screen, partial(VERBS[self.verb], self.model, a, b))
        drawn_from = f", from {DENSITIES[self.model.densities[0]]}" if self.verb == "sample" else ""
        self.said.say(f"{self.verb.replace('_', ' ')}: {len(self.video)} frames{drawn_from}")
        for name, made in self.buttons.items():
            set_pressed(made, name == self.verb)
        for number, pair in enumerate(self.choices):
            for made, chosen in zip(pair, (self.a, self.b), strict=True):
                set_pressed(made, number == chosen)


def add(model: Model, data: Data | None, *, about: str, address: str = "/") -> None:
    """The page at `address`."""
    clips = clips_to_play(model, data, by="identity", most=CLIPS)

    @ui.page(address, title=model.page_title)
    async def page() -> None:
        await ClipsTab(model, clips, about=about).choose()
