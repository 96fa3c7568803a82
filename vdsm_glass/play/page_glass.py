"""The page on which GLASS is played. Arrows move, numbers act, and every key press draws a frame."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from nicegui import ui
from nicegui.element import Element
from torch import Tensor

from data_modules.common.errors import DataError
from vdsm_glass.generate.animated import AnimatedModel
from vdsm_glass.play import media
from vdsm_glass.play.clips import Data, NamedClip, clips_to_play
from vdsm_glass.play.controls import GlassControls, Verb, described
from vdsm_glass.play.page import COMPUTER, Tab, Words, button, compute, recorders, set_pressed, tag, uploader
from vdsm_glass.play.session_glass import SHORT, GlassSession, Move, moves_in

PICTURES, VIDEOS = ".jpg,.jpeg,.png,.webp,image/jpeg,image/png,image/webp", "video/*,.gif,.webp,.mkv,.avi"
SHOWN_MOVES = 14
CLIPS = 8
UNKNOWN_SIZE = (96, 128)
"""(height, width) that pictures are brought to if neither the model nor any data says."""
KEYS = "Shift and an arrow move the background. Escape stops what is playing."
MEMORY = f"""With a short memory every frame is drawn from the first by the last {SHORT} moves: the same key, pressed
again and again, soon draws the same posture. Without, from the one before, as in the paper: figures may then fade."""


class GlassTab(Tab):
    """A session, its controls, and the elements that show them.

    Args: clips of the test split, perhaps none; size (height, width) of a frame; about, what is played.
    """

    look = "glass"
    clip_keys: ClassVar = {"u": "Undo", "r": "Reset", "p": "Replay", "m": "Mask", "s": "Short memory"}
    """What the buttons below "The clip" are called, by the keys that do the same."""
    model: AnimatedModel

    def __init__(self, model: AnimatedModel, clips: Sequence[NamedClip], *, size: tuple[int, int], about: str) -> None:
        self.clips, self.size = clips, size
        self.controls = self.controls_of(model.k)
        self.session: GlassSession | None = None
        self.player: asyncio.Task[None] | None = None
        super().__init__(model, about)
        self.show_controls()

    def controls_of(self, actions: int) -> GlassControls:
        """The controls of a model of so many actions."""
        return GlassControls(actions=actions)

    def session_of(self, first: Tensor) -> GlassSession:
        """A clip that begins with `first` (3, h, w)."""
        return GlassSession(self.model.network, first, memory=self.controls.memory)

    def moves_in(self, video: Tensor) -> list[Move]:
        """The moves in a video (t, 3, h, w)."""
        return moves_in(self.model.network, video)

    def build(self) -> None:
        """Builds the screen, the controls, and the clips."""
        with tag("section", "panel stage", aria_label="The clip"):
            self.screen = tag("img", "screen", alt="the present frame", src="", width=self.size[1])
            self.screen.props["height"] = self.size[0]
            with tag("div", "below dim"):
                self.moves, self.counter = Words("span"), Words("span")
        with tag("section", "panel controls", aria_label="Controls"):
            self.build_controls()
        with tag("section", "panel wide", aria_label="First frames and actions"):
            self.build_clips()

    def build_controls(self) -> None:
        """Builds the buttons; each stands for a key."""
        with tag("div"):
            self.title = Words("h2")
            with tag("div", "pad-row"):
                with tag("div", "pad"):
                    for place, sign in {"up": "↑", "left": "←", "right": "→", "down": "↓"}.items():
                        self.key(f"Arrow{place.title()}", sign, classes=place, label=f"move {place}")
                    self.key(" ", "•", classes="stay", label="stay (space)")
                with tag("div", "aside"):
                    with tag("div", "row"):
                        self.key("-", "−", label="smaller steps")
                        self.pixels = Words("span")
                        self.pixels.classes("number")
                        self.key("+", "+", label="larger steps")
                    self.background = self.key("b", "Background", shown="b")
        self.build_actions("Local action")
        self.build_clip_keys()
        tag("p", "dim keys", KEYS)
        tag("p", "dim", MEMORY)

    def build_actions(self, name: str) -> None:
        """Builds a button for each action."""
        with tag("div"):
            tag("h2", text=f"{name} (1 to {self.controls.actions})")
            with tag("div", "row"):
                self.actions = [
                    button(str(k + 1), lambda k=k: self.do(self.controls.play(k)), label=f"{name.lower()} {k + 1}")
                    for k in range(self.controls.actions)
                ]

    def build_clip_keys(self) -> None:
        """Builds what can be done with the clip, and the buttons that save it."""
        with tag("div"):
            tag("h2", text="The clip")
            with tag("div", "row"):
                self.of_clip = {key: self.key(key, name, shown=key) for key, name in self.clip_keys.items()}
                recorders(self.message, lambda: self.session.video() if self.session else Tensor())

    def build_clips(self) -> None:
        """Builds the test clips and uploads, which a person starts from or copies."""
        tag("h2", text="Choose a first frame, or copy the actions of a video onto the present one")
        with tag("div", "clips"):
            for clip in self.clips:
                with tag("figure"):
                    with tag("button", "picture", type="button", aria_label=f"start from {clip.identity}") as start:
                        tag("img", src=media.data_url(media.png(clip.video[0])), alt="")
                    start.on("click", partial(self.begin, clip.video[0]), args=[])
                    tag("figcaption", text=clip.identity, title=clip.identity)
                    label = f"copy the actions of {clip.identity}"
                    button("Copy actions", lambda clip=clip: self.message.guard(self.copy(clip.video)), label=label)
        if not self.clips:
            tag("p", "dim", "The test clips of this model's data are not here; bring a picture of your own.")
        with tag("div", "row").style("margin-top: .8rem"):
            either = f"{PICTURES},{VIDEOS}"
            uploader("Start from your picture or video …", self.message, self.begin_upload, accept=either)
            uploader("Copy actions from your video …", self.message, self.copy_upload, accept=VIDEOS)

    def key(self, key: str, text: str, *, shown: str = "", classes: str = "", label: str = "") -> Element:
        """A button that stands for a key."""
        return button(text, lambda: self.press(key), key=shown, classes=classes, label=label)

    async def press(self, key: str, *, shift: bool = False, repeat: bool = False) -> None:
        """Answers a key. A key that is held draws as fast as the network computes, and stops when it is released."""
        if repeat and self.turn.locked():
            return
        if asked := self.controls.press(key, shift=shift):
            await self.do(asked)

    async def do(self, asked: Move | Verb | None) -> None:
        """Does what a key or a button asks for."""
        self.stop()
        self.show_controls()
        if self.session is None or asked in (None, Verb.STOP, Verb.REDRAW):
            return
        if isinstance(asked, Move):
            await self.message.guard(self.play(asked))
        elif asked is Verb.REPLAY:
            self.player = asyncio.create_task(self.replay())
        else:
            session = self.session
            again = partial(session.remember, self.controls.memory)
            changes = {Verb.UNDO: session.undo, Verb.RESET: session.reset, Verb.REMEMBER: again}
            if change := changes.get(asked):
                await compute(change)  # after a frame that is still being drawn
            await self.show()

    async def play(self, move: Move) -> None:
        """Draws one more frame."""
        assert self.session is not None
        async with self.turn:
            began = time.perf_counter()
            await self.show(move)
            COMPUTER.submit(self.session.draw_ahead)
            self.counter.say(f"{self.counter.text} · {1000 * (time.perf_counter() - began):.0f} ms")

    async def show(self, move: Move | None = None, *, index: int = -1) -> None:
        """Shows the present frame or the one at `index`, after a move if one is given."""
        assert self.session is not None
        session = self.session

        def draw() -> bytes:
            if move is not None:
                session.play(move)
            return media.png(session.picture(index, mask=self.controls.mask))

        self.screen.props["src"] = media.data_url(await compute(draw))
        self.screen.update()
        self.counter.say(f"frame {index % len(session) + 1} of {len(session)}")
        hidden = len(session.moves) > SHOWN_MOVES
        self.moves.say(("… " if hidden else "") + " ".join(described(m) for m in session.moves[-SHOWN_MOVES:]))

    def show_controls(self) -> None:
        """Shows the settings."""
        controls = self.controls
        self.pixels.say(f"{controls.pixels} px")
        self.title.say("Move the background" if controls.background else "Move the figure")
        set_pressed(self.background, controls.background)
        set_pressed(self.of_clip["m"], controls.mask)
        set_pressed(self.of_clip["s"], controls.short)
        for k, made in enumerate(self.actions):
            set_pressed(made, k == controls.action)

    async def begin(self, first: Tensor) -> None:
        """Starts a new clip."""
        self.stop()
        async with self.turn:
            self.session = await compute(self.session_of, first)
            self.message.say()
            await self.show()

    async def copy(self, video: Tensor) -> None:
        """Plays the actions of a video, from the first frame of the present clip."""
        self.stop()
        if self.session is None:
            await self.begin(video[0])
        moves = await compute(self.moves_in, video)
        self.player = asyncio.create_task(self.perform(moves))

    async def perform(self, moves: list[Move]) -> None:
        """Plays one move after the other, no faster than a recording."""
        assert self.session is not None
        await compute(self.session.reset)
        await self.show()
        for move in moves:
            await asyncio.gather(self.message.guard(self.play(move)), asyncio.sleep(1 / media.FPS))

    async def replay(self) -> None:
        """Plays the clip from its beginning."""
        assert self.session is not None
        for index in range(len(self.session)):
            await asyncio.gather(self.show(index=index), asyncio.sleep(1 / media.FPS))

    def stop(self) -> None:
        """Stops what is playing."""
        if self.player is not None:
            self.player.cancel()
            self.player = None

    async def begin_upload(self, content: bytes, name: str) -> None:
        """Starts a clip from an uploaded picture or video."""
        await self.begin((await self.decode(content, name, most_frames=1))[0])

    async def copy_upload(self, content: bytes, name: str) -> None:
        """Copies the actions of an uploaded video."""
        await self.copy(await self.decode(content, name, most_frames=media.MOST_FRAMES))

    async def decode(self, content: bytes, name: str, *, most_frames: int) -> Tensor:
        """Decodes an upload. It does not use the computing thread, which other tabs wait for."""
        size = {"height": self.size[0], "width": self.size[1]}
        return await asyncio.to_thread(media.read_upload, content, name, **size, most_frames=most_frames)


def add_tab(kind: type[GlassTab], model: AnimatedModel, data: Data | None, *, about: str, address: str = "/") -> None:
    """Adds a page of such tabs at `address`. Without data, or without its files, people bring their own pictures."""
    clips: list[NamedClip] = []
    if data is not None:
        try:
            clips = clips_to_play(model, data, by="identity", most=CLIPS)
        except DataError as error:
            print(f"vdsm-glass: playing without test clips: {error}", file=sys.stderr)
    height, width = clips[0].video.shape[-2:] if clips else model.size or UNKNOWN_SIZE

    @ui.page(address, title=model.page_title)
    async def page() -> None:
        tab = kind(model, clips, size=(height, width), about=about)
        if clips:
            await tab.begin(clips[0].video[0])
        ui.context.client.on_disconnect(tab.stop)


add = partial(add_tab, GlassTab)
"""The page at an address; see `vdsm_glass.generate.vocabulary.Model.page`."""
