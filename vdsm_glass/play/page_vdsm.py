"""The page on which VDSM is played: a board of identities and actions, and what lies between two of its cells."""

from __future__ import annotations

from functools import partial

from nicegui import app, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments
from starlette.responses import Response

from vdsm_glass.generate.vdsm import VDSMFramesModel
from vdsm_glass.play import media
from vdsm_glass.play.clips import Data
from vdsm_glass.play.controls import ARROWS
from vdsm_glass.play.page import Tab, Words, button, film, recorders, set_pressed, tag
from vdsm_glass.play.session_vdsm import LONG, Board, Choice, VDSMSession


class VDSMTab(Tab):
    """A session and the elements that show it.

    Args: rows, columns, what to call identities and actions; about, what is played; address, of the page.
    """

    look = "vdsm moving"

    def __init__(
        self, model: VDSMFramesModel, board: Board, *, rows: list[str], columns: list[str], about: str, address: str
    ) -> None:
        self.session = VDSMSession(board)
        self.rows, self.columns, self.second = rows, columns, False
        self.pictures = f"{address.rstrip('/')}/cells"
        super().__init__(model, about)

    def build(self) -> None:
        """Builds the screen with its controls, and the board."""
        with tag("section", "panel stage", aria_label="The clip"):
            self.screen = tag("div", "screen film", role="img")
            with tag("div", "below dim"):
                self.counter = Words("span")
            self.build_controls()
        with tag("section", "panel", aria_label="The board"):
            tag("h2", text="Rows are identities, columns are actions")
            self.build_board()

    def build_controls(self) -> None:
        """Builds the sliders and buttons."""
        self.identity_ends = self.slider("Identity, from A to B", "share_s")
        self.action_ends = self.slider("Action, from A to B", "share_d")
        with tag("div", "row"):
            self.which = [
                button("Choose A", lambda: self.choose_which(False), key="a"),
                button("Choose B", lambda: self.choose_which(True), key="b"),
            ]
            self.long = button(f"{LONG} frames", lambda: self.press("l"), key="l")
            if self.session.board.longest < LONG:
                self.long.props["disabled"] = True
            self.pause = button("Pause", lambda: self.press(" "), key="space", classes="pause")
            recorders(self.message, self.session.video)
        tag("p", "dim keys", "Arrows move the one that is chosen, A or B, over the board; with shift always B.")
        if self.session.board.longest < LONG:
            tag("p", "dim", f"{LONG} frames need the second stage, which learns dynamics.")

    def slider(self, text: str, share: str) -> tuple[Words, Words]:
        """A slider that sets a share of the session, in [0, 1].  Returns: the words at its ends."""

        async def moved(event: GenericEventArguments) -> None:
            setattr(self.session, share, min(max(float(event.args) / 100, 0.0), 1.0))
            await self.show()

        with tag("label", "slider"):
            tag("span", text=text)
            slider = tag("input", type="range", min=0, max=100, step=5)
            slider.props["^value"] = 0  # the attribute, where it starts: the property would go back with every update
            slider.on("input", moved, js_handler="(event) => emit(event.target.value)", throttle=0.1)
            with tag("div", "ends"):
                return Words("span"), Words("span")

    def build_board(self) -> None:
        """Builds a button for each cell, which plays the cell's clip."""
        frames, size = self.session.board.frames, self.session.board.cells.shape[-2:]
        with tag("div", "board").style(f"--columns: {len(self.columns)}; --rows: {len(self.rows)}"):
            tag("span")
            for name in self.columns:
                tag("span", "name", name, title=name)
            self.cells: dict[Choice, tuple[Element, Words]] = {}
            for i, who in enumerate(self.rows):
                tag("span", "name who", who, title=who)
                for j, what in enumerate(self.columns):
                    with tag("button", type="button", aria_label=f"{who}, {what}") as cell:
                        mark = Words("span")
                        mark.classes("mark")
                        tag("div", "film").style(film(f"{self.pictures}/{i}/{j}.png", frames, *size))
                    cell.on("click", partial(self.choose, Choice(i, j)), args=[])
                    self.cells[Choice(i, j)] = (cell, mark)

    async def press(self, key: str, *, shift: bool = False, repeat: bool = False) -> None:
        """Answers a key."""
        if repeat and self.turn.locked():
            return
        if way := ARROWS.get(key):
            self.session.step(way, second=shift or self.second)
            await self.show()
        elif key == " ":
            self.stop("moving" in self.main.classes)
        elif key in ("a", "A", "b", "B"):
            self.choose_which(key in ("b", "B"))
        elif key in ("l", "L") and self.session.board.longest == LONG:
            self.session.long = not self.session.long
            await self.show()

    def stop(self, stopped: bool) -> None:
        """Stops or starts all clips."""
        self.main.classes(remove="moving") if stopped else self.main.classes(add="moving")
        set_pressed(self.pause, stopped)

    def choose_which(self, second: bool) -> None:
        """Sets whether the next choice becomes A or B."""
        self.second = second
        for made, on in zip(self.which, (not second, second), strict=True):
            set_pressed(made, on)

    async def choose(self, cell: Choice) -> None:
        """Answers a click on a cell."""
        self.session.choose(cell, second=self.second)
        await self.show()

    async def show(self) -> None:
        """Shows the choices and the clip that follows from them."""
        session = self.session
        video = await self.play_film(self.screen, session.video)
        who = between(self.rows, session.a.row, session.b.row, session.share_s)
        what = between(self.columns, session.a.column, session.b.column, session.share_d)
        self.screen.props["aria-label"] = f"{who}, {what}"
        self.counter.say(f"{len(video)} frames · {who}, {what}")
        set_pressed(self.long, session.long)
        self.choose_which(self.second)
        for ends, names, now in (
            (self.identity_ends, self.rows, (session.a.row, session.b.row)),
            (self.action_ends, self.columns, (session.a.column, session.b.column)),
        ):
            for end, letter, index in zip(ends, "AB", now, strict=True):
                end.say(f"{letter}: {names[index]}")
        for choice, (cell, mark) in self.cells.items():
            here = [letter for letter, at in (("A", session.a), ("B", session.b)) if at == choice]
            mark.say(" ".join(here))
            cell.classes(add="second" if here == ["B"] else "", remove="" if here == ["B"] else "second")
            set_pressed(cell, "A" in here)


def between(names: list[str], a: int, b: int, share: float) -> str:
    """What to call something between two of its names, in [0, 1] from the one to the other."""
    if names[a] == names[b] or share in (0, 1):
        return names[b if share == 1 else a]
    return f"{share:.0%} from {names[a]} to {names[b]}"


def add(model: VDSMFramesModel, data: Data | None, *, about: str, address: str = "/") -> None:
    """Adds the page at `address` and the pictures of its cells, which are the same for all tabs."""
    board, rows, columns = Board.of(model, data)
    pictures = [[media.png(media.strip(cell)) for cell in row] for row in board.cells]

    @app.get(address.rstrip("/") + "/cells/{row}/{column}.png")
    def cell(row: int, column: int) -> Response:
        if not (0 <= row < board.rows and 0 <= column < board.columns):
            return Response(status_code=404)
        return Response(pictures[row][column], media_type="image/png")

    @ui.page(address, title=model.page_title)
    async def page() -> None:
        await VDSMTab(model, board, rows=rows, columns=columns, about=about, address=address).show()
