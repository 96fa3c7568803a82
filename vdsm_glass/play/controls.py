"""What keys mean. On-screen buttons stand for keys, so that both do the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from vdsm_glass.play.session_glass import SHORT, Move

ARROWS = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
"""(x, y), x to the right and y down."""
SIGNS = {(-1, 0): "←", (1, 0): "→", (0, -1): "↑", (0, 1): "↓"}
MOST_PIXELS = 16


class Verb(Enum):
    """What a key can ask for besides a move."""

    UNDO = auto()
    RESET = auto()
    REPLAY = auto()
    STOP = auto()
    REDRAW = auto()
    SHOW_MASK = auto()
    REMEMBER = auto()


VERBS = {"u": Verb.UNDO, "Backspace": Verb.UNDO, "r": Verb.RESET, "p": Verb.REPLAY, "Escape": Verb.STOP}
TOGGLES = {"m": ("mask", Verb.SHOW_MASK), "b": ("background", Verb.REDRAW), "s": ("short", Verb.REMEMBER)}
"""Keys that switch a setting, and what is to be done then."""


@dataclass
class GlassControls:
    """One person's settings, and what a key means under them.

    Args:
        actions: K.
        pixels: how far an arrow shifts.
        action: the local action that goes with a shift, the one played last.
        mask: whether the mask is shown.
        background: arrows shift the background, also without the shift key.
        short: frames are drawn by the last moves alone, see `GlassSession`.
    """

    actions: int
    pixels: int = 7
    action: int = 0
    mask: bool = False
    background: bool = False
    short: bool = True

    @property
    def memory(self) -> int | None:
        """How many moves a frame is drawn by; None for all."""
        return SHORT if self.short else None

    def press(self, key: str, *, shift: bool = False) -> Move | Verb | None:
        """What a key asks for. Keys are named as in the DOM's `KeyboardEvent.key`; one without a meaning gives None."""
        if way := ARROWS.get(key):
            x, y = (float(self.pixels * part) for part in way)
            if shift or self.background:
                return Move(background=(x, y), action=self.action)
            return Move(foreground=(x, y), action=self.action)
        if len(key) == 1 and "1" <= key <= "9":
            return self.play(int(key) - 1)
        if key == " ":
            return Move(action=self.action)
        if key in "+-=_" and len(key) == 1:
            self.pixels = min(max(self.pixels + (1 if key in "+=" else -1), 1), MOST_PIXELS)
            return Verb.REDRAW
        if toggled := TOGGLES.get(key.lower()):
            setting, verb = toggled
            setattr(self, setting, not getattr(self, setting))
            return verb
        return VERBS.get(key) or VERBS.get(key.lower())

    def play(self, action: int) -> Move | None:
        """Chooses a local action and plays it once; None if no action has that number."""
        if action >= self.actions:
            return None
        self.action = action
        return Move(action=action)


def described(move: Move) -> str:
    """A move in a few signs: the arrow of the foreground, that of the background in brackets, and the action."""
    shown = arrow(move.foreground) or "·"
    if behind := arrow(move.background):
        shown += f"[{behind}]"
    return f"{shown}{move.action + 1}"


def arrow(shift: tuple[float, float]) -> str:
    """The arrow nearest to a shift; an empty text for less than half a pixel."""
    x, y = shift
    if max(abs(x), abs(y)) < 0.5:
        return ""
    return SIGNS[(1 if x > 0 else -1, 0) if abs(x) >= abs(y) else (0, 1 if y > 0 else -1)]
