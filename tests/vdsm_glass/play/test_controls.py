"""What keys ask for."""

from __future__ import annotations

import pytest

from vdsm_glass.play.controls import MOST_PIXELS, GlassControls, Verb, described
from vdsm_glass.play.session_glass import SHORT, Move


@pytest.fixture
def controls() -> GlassControls:
    return GlassControls(actions=3)


@pytest.mark.parametrize(
    ("key", "way"), [("ArrowLeft", (-7, 0)), ("ArrowRight", (7, 0)), ("ArrowUp", (0, -7)), ("ArrowDown", (0, 7))]
)
def test_arrows_shift_the_foreground_and_with_shift_the_background(controls, key, way):
    assert controls.press(key) == Move(foreground=way)
    assert controls.press(key, shift=True) == Move(background=way)
    controls.press("b")
    assert controls.press(key) == Move(background=way)
    controls.press("b")
    assert controls.press(key) == Move(foreground=way)


def test_numbers_act_and_what_was_done_last_goes_with_the_shifts(controls):
    assert controls.press("3") == Move(action=2)
    assert controls.press("ArrowRight") == Move(foreground=(7, 0), action=2)
    assert controls.press(" ") == Move(action=2)
    for none in ("4", "9", "0"):
        assert controls.press(none) is None
    assert controls.action == 2


def test_the_step_is_a_number_of_pixels_within_bounds(controls):
    for _ in range(30):
        assert controls.press("+") is Verb.REDRAW
    assert controls.press("ArrowUp") == Move(foreground=(0, -MOST_PIXELS))
    for _ in range(30):
        controls.press("-")
    assert controls.press("ArrowUp") == Move(foreground=(0, -1))


def test_letters_are_verbs(controls):
    verbs = {"u": Verb.UNDO, "U": Verb.UNDO, "Backspace": Verb.UNDO, "r": Verb.RESET, "p": Verb.REPLAY}
    for key, verb in verbs.items():
        assert controls.press(key) is verb
    assert controls.press("Escape") is Verb.STOP
    assert controls.press("m") is Verb.SHOW_MASK
    assert controls.mask
    controls.press("M")
    assert not controls.mask
    assert controls.memory == SHORT
    assert controls.press("s") is Verb.REMEMBER
    assert controls.memory is None


@pytest.mark.parametrize("key", ["", "x", "Tab", "Enter", "Shift", "F5", "+-", "²", "٣", "Dead"])
def test_other_keys_mean_nothing(controls, key):
    assert controls.press(key) is None
    assert controls == GlassControls(actions=3)


def test_a_move_in_signs():
    assert described(Move(foreground=(7, 0), action=1)) == "→2"
    assert described(Move(background=(0.2, -3))) == "·[↑]1"
    assert described(Move(foreground=(-1, 4.0), background=(0.1, 0.4))) == "↓1"
