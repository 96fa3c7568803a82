"""What all pages share: buttons that stand for keys, messages, uploads, recordings, and one thread that computes.

Of the toolkits in Python NiceGUI was taken for its keyboard: every key press is an event of its own, with its modifiers
and whether it repeats, sent over an open websocket, and what it changes comes back the same way; in Gradio a press
would have to pass through a hidden button and a queued request. All of its scripts and fonts are in the package, so
that the page needs no network. The controls are plain HTML, which screen readers and small screens know.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar

from nicegui import ui
from nicegui.element import Element
from nicegui.events import KeyEventArguments, UploadEventArguments
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.play import media

HERE = Path(__file__).parent
P = ParamSpec("P")
T = TypeVar("T")

SERVED: dict[str, str] = {}
"""The models that this server shows: from the address of a page to what its model is called."""

COMPUTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="play")
"""All tabs share this thread, because networks that run side by side take the cores from each other."""


async def compute(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function of the network while the page goes on answering."""
    return await asyncio.get_running_loop().run_in_executor(COMPUTER, lambda: function(*args, **kwargs))


def tag(kind: str, classes: str = "", text: str = "", **attributes: object) -> Element:
    """An HTML element; underscores in the attributes' names stand for hyphens."""
    element = Words(kind, text) if text else ui.element(kind)
    element.classes(classes)
    for name, value in attributes.items():
        element.props[name.replace("_", "-")] = value
    return element


class Words(Element):
    """An HTML element that shows text literally."""

    def __init__(self, kind: str, text: str = "") -> None:
        super().__init__(kind)
        self.say(text)

    @property
    def text(self) -> str:
        """The text that is shown."""
        return self._text or ""

    def say(self, text: str = "") -> None:
        """Shows other text."""
        if text != self._text:
            self._text = text
            self.update()


class Message(Words):
    """A line that shows errors; without a text there is none."""

    def __init__(self) -> None:
        super().__init__("div")
        self.classes("message wide")
        self.props["role"] = "alert"

    async def guard(self, work: Awaitable[None]) -> None:
        """Awaits work, and shows its UserError if it raises one."""
        try:
            await work
        except UserError as error:
            self.say(str(error))
        else:
            self.say()


def button(
    text: str, on_click: Callable[[], Any] | None, *, key: str = "", classes: str = "", label: str = ""
) -> Element:
    """A button; `key` is shown as the key that does the same."""
    made = tag("button", classes, type="button")
    if label:
        made.props["aria-label"] = label
    with made:
        tag("span", text=text)
        if key:
            tag("kbd", text=key, aria_hidden="true")
    return made.on("click", on_click, args=[]) if on_click else made


def film(address: str, frames: int, height: int, width: int) -> str:
    """The style of an element that plays a strip of frames, each of `height` and `width`."""
    return f"background-image: url({address}); --t: {max(frames, 2)}; aspect-ratio: {width} / {height}"


def set_pressed(made: Element, pressed: bool) -> None:
    """Shows whether a button is on, and tells screen readers."""
    said = "true" if pressed else "false"
    if made.props.get("aria-pressed") != said:
        made.props["aria-pressed"] = said
        made.update()


class Tab(ABC):
    """One browser tab with the page of a model: its name, what is played (`about`), and what `build` adds."""

    look: ClassVar[str]
    """The classes of the page."""

    def __init__(self, model: Model, about: str) -> None:
        self.model, self.turn = model, asyncio.Lock()
        ui.add_css((HERE / "style.css").read_text(encoding="utf-8"))
        ui.add_head_html(f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>")
        with tag("main", self.look) as self.main:
            with tag("header"):
                tag("h1", text=model.page_title)
                tag("span", "dim", about)
                if len(SERVED) > 1:
                    here = ui.context.client.page.path
                    with tag("nav", "models", aria_label="Models"):
                        for address, name in SERVED.items():
                            current = {"aria_current": "page"} if address == here else {}
                            tag("a", text=name, href=address, **current)
            self.message = Message()
            self.build()
        ui.keyboard(on_key=self.on_key, ignore=["input", "select", "textarea"])

    @abstractmethod
    def build(self) -> None:
        """Builds what is below the heading."""

    @abstractmethod
    async def press(self, key: str, *, shift: bool = False, repeat: bool = False) -> None:
        """Answers a key that goes down, unless a text field or a slider takes it.  Args: repeat, it is held."""

    async def on_key(self, event: KeyEventArguments) -> None:
        """Passes keys on that are pressed without other keys but shift."""
        modifiers = event.modifiers
        if event.action.keydown and not (modifiers.ctrl or modifiers.alt or modifiers.meta):
            await self.press(event.key.name, shift=modifiers.shift, repeat=event.action.repeat)

    async def play_film(self, screen: Element, make: Callable[[], Tensor]) -> Tensor:
        """Makes a clip (t, 3, h, w), plays it as a strip, and returns it."""
        async with self.turn:
            video = await compute(make)
            content = media.data_url(await compute(lambda: media.png(media.strip(video))))
        screen.style(film("", len(video), *video.shape[-2:]))
        screen.style["background-image"] = f"url({content})"  # its semicolon would end a style that is given as text
        screen.update()
        return video


def uploader(text: str, message: Message, use: Callable[[bytes, str], Awaitable[None]], *, accept: str) -> None:
    """A button that takes a file of at most `media.MOST_BYTES` and gives its content and name to `use`."""
    limit = media.MOST_BYTES // 1_000_000

    async def on_upload(event: UploadEventArguments) -> None:
        await message.guard(use(await event.file.read(), event.file.name))

    def refuse() -> None:
        message.say(f"this file cannot be taken: expected {accept}, at most {limit} MB")

    element = ui.upload(max_file_size=media.MOST_BYTES, auto_upload=True, on_upload=on_upload, on_rejected=refuse)
    element.props["accept"] = accept
    element.classes("uploader")
    element.on("failed", refuse, args=[])
    for end in ("uploaded", "failed"):  # told to by the server, it would at times forget a file still on its way
        element.on(end, js_handler=f"() => runMethod({element.id}, 'reset', [])")
    button(text, None).on("click", js_handler=f"() => runMethod({element.id}, 'pickFiles', [])")


def recorders(message: Message, video: Callable[[], Tensor]) -> None:
    """Adds buttons that save the present clip as a file."""

    async def give(kind: Literal["gif", "mp4"]) -> None:
        ui.download.content(await compute(lambda: media.recording(video(), kind)), f"clip.{kind}", f"image/{kind}")

    for kind in ("gif", "mp4"):
        button(f"Save {kind.upper()}", lambda kind=kind: message.guard(give(kind)))
