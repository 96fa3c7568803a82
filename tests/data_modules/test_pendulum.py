from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data_modules.common.errors import UserError
from data_modules.pendulum import BACKGROUND, COLOURS, LENGTH, PIVOT_Y, Pendulum, draw, simulate


@pytest.mark.parametrize("amplitude", [0.3, 1.3, 2.5])
def test_without_damping_energy_is_kept(amplitude: float) -> None:
    """E = θ'² / 2 - ω² cos θ; the angular velocity from a second simulation, half a thousandth of a frame on."""
    period, step = 12.0, 1e-3
    shifted = step / (period * 2 / math.pi * _complete_elliptic(amplitude))
    here, there = (
        simulate(period=period, amplitude=amplitude, phase=0.2 + shift, damping=0, frames=61)
        for shift in (-shifted / 2, shifted / 2)
    )
    stiffness = (2 * math.pi / period) ** 2
    energy = ((there - here) / step) ** 2 / 2 + stiffness * (1 - np.cos((here + there) / 2))
    assert np.abs(energy / energy[0] - 1).max() < 0.01


def _complete_elliptic(amplitude: float) -> float:
    """K by the arithmetic-geometric mean."""
    a, b = 1.0, math.cos(amplitude / 2)
    for _ in range(20):
        a, b = (a + b) / 2, math.sqrt(a * b)
    return math.pi / (2 * a)


def test_small_swings_follow_the_cosine() -> None:
    angles = simulate(period=20, amplitude=0.02, phase=0.25, damping=0, frames=60)
    np.testing.assert_allclose(angles, 0.02 * np.cos(2 * math.pi * (np.arange(60) / 20 + 0.25)), atol=5e-5)


def test_damping_makes_swings_smaller_at_its_rate() -> None:
    """A small swing decays as exp(-damping t / 2)."""
    angles = simulate(period=20, amplitude=0.01, phase=0, damping=0.02, frames=101)
    assert angles[100] / angles[0] == pytest.approx(math.exp(-1), rel=0.01)


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (48, 80)])
def test_draws_the_bob_where_it_says_in_its_colour(size: tuple[int, int]) -> None:
    height, width = size
    angles = np.array([0.0, 1.2, -0.7])
    video, bob = draw(angles, colour=(250, 20, 120), height=height, width=width)
    side = min(size)
    np.testing.assert_allclose(bob[:, 0], (width - 1) / 2 + LENGTH * side * np.sin(angles), rtol=1e-5)
    np.testing.assert_allclose(bob[:, 1], (height - 1) / 2 + side * (PIVOT_Y + LENGTH * np.cos(angles)), rtol=1e-5)
    for frame, (x, y) in zip(video, bob.round().astype(int), strict=True):
        assert tuple(frame[y, x]) == (250, 20, 120)
        assert tuple(frame[0, 0]) == tuple(frame[-1, -1]) == BACKGROUND


def test_drawing_is_smooth_in_the_angle() -> None:
    """Anti-aliased: a hundredth of a pixel further changes a little; nothing jumps."""
    angles = np.linspace(0.3, 0.3 + 1e-3, num=2)
    video, _ = draw(angles, colour=(255, 255, 255), height=32, width=32)
    change = np.abs(np.diff(video.astype(int), axis=0))
    assert 0 < change.max() <= 4


def test_splits_share_no_pair_with_the_test_but_all_labels() -> None:
    for colours, swings in ((8, 4), (2, 2), (3, 5), (12, 7)):
        module = Pendulum(colours=colours, swings=swings)
        train, test = set(module.pairs("train")), set(module.pairs("test"))
        assert not train & test
        assert len(train | test) == colours * swings
        assert train == set(module.pairs("val"))
        for pairs in (train, test):
            assert {identity for identity, _ in pairs} == set(range(colours))
            assert {action for _, action in pairs} == set(range(swings))
    assert Pendulum(simulation_seed=1).pairs("test") != Pendulum(simulation_seed=2).pairs("test")


def test_what_can_be_seen_tells_identity_and_action(tmp_path: Path) -> None:
    """The bob's pixel is the identity's colour; spectrum and extent of its way tell the action, in each 32 frames."""
    module = Pendulum(root=str(tmp_path), size=32, sequences_per_pair=2, damping=0.005)
    module.prepare_data()
    colours = np.array(list(COLOURS.values())[:8])
    features: dict[str, list] = {"train": [], "test": []}
    for split in ("train", "test"):
        part = module.store.split(split)
        assert len(part) == module.count(split)
        for clip in range(len(part)):
            frames, position = part.frames(clip), part.window("position", clip)
            x, y = position[0].round().astype(int)
            nearest = np.abs(colours - frames[0, :, y, x]).sum(axis=1).argmin()
            assert nearest == part.array("identity")[clip]
            way = position[:32, 0] - position[:32, 0].mean()
            spectrum = np.abs(np.fft.rfft(way)) / len(way)
            features[split].append((part.array("action")[clip], spectrum[:6]))
    labels, spectra = (np.array(values) for values in zip(*features["train"], strict=True))
    centres = np.stack([spectra[labels == action].mean(axis=0) for action in range(4)])
    for label, spectrum in features["test"]:
        assert np.abs(centres - spectrum).sum(axis=1).argmin() == label


def test_clips_are_reproducible_and_differ() -> None:
    first, again = (list(islice(Pendulum(size=16).read("train"), 14)) for _ in range(2))
    assert all((one.video == other.video).all() for one, other in zip(first, again, strict=True))
    assert not (first[0].video == first[1].video).all(), "the phases are the same"
    other = next(Pendulum(size=16, simulation_seed=1).read("train"))
    assert not (first[0].video == other.video).all()


def test_the_tiny_set_is_small_and_has_all_pairs() -> None:
    module = Pendulum(tiny=True)
    assert [module.count(split) for split in ("train", "val", "test")] == [24, 24, 8]
    assert len(module.describe_labels().identity) == 8
    assert len(set(module.describe_labels().action)) == 4


@pytest.mark.parametrize(
    "options", [{"colours": 13}, {"swings": 1}, {"frames": 0}, {"sequences_per_pair": 0}, {"damping": -1.0}]
)
def test_settings_that_make_no_sense_are_named(options: dict) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        Pendulum(**options)
