"""W-Sprites: every label is proven by drawing the clip again from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from einops import reduce
from scipy.stats import chisquare

from data_modules.common.errors import UserError
from data_modules.shared.characters import ACTIONS
from data_modules.sources.lpc import CELL
from data_modules.sprites import Sprites
from data_modules.store.clip_source import Clip
from data_modules.store.format import SPLITS
from data_modules.w_sprites import IN_PLACE, STAY, WALKS, WSprites, animate
from vdsm_glass.commands import prepare, show

FALSE_ALARMS = 1e-6  # of a statistical test, were its seed another one


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> WSprites:
    module = WSprites(root=str(tmp_path_factory.mktemp("data")), tiny=True, batch_size=4)
    module.prepare_data()
    return module


@pytest.fixture(scope="module", params=["drawn", "real"])
def scene(request: pytest.FixtureRequest, tiny: WSprites) -> WSprites:
    """A module on drawn characters and landscape, and one on real sheets and a photograph."""
    if request.param == "drawn":
        return tiny
    data: Path = request.getfixturevalue("real_data")
    return WSprites(
        root=str(tiny.root),
        sheets=str(data / "lpc_sheets"),
        background=str(data / "background" / "landscape1_256.png"),
        max_characters=60,
    )


@pytest.fixture(scope="module")
def clips(scene: WSprites) -> list[Clip]:
    return list(scene.read("val"))


def labelled(clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mask, foreground and background shift, local action and position."""
    found = clip.mask, clip.foreground_shift, clip.background_shift, clip.local_action, clip.position
    assert all(value is not None for value in found)
    return found  # pyright: ignore[reportReturnType]


def test_the_sprite_is_where_the_shifts_lead_doing_what_the_labels_say(scene: WSprites, clips: list[Clip]) -> None:
    """Drawn again: the character's action, at the first position plus the shifts so far, equals the masked frame."""
    wardrobe = scene.wardrobe()
    for clip in clips:
        mask, shift, _, actions, position = labelled(clip)
        paths = position[0] + np.concatenate([np.zeros((1, 2)), np.cumsum(shift, axis=0)])
        np.testing.assert_array_equal(paths, position)
        corners = position - (CELL - 1) / 2
        assert (corners >= 0).all()
        assert (corners <= (128 - CELL, 96 - CELL)).all()
        for frame, covered, action, (x, y) in zip(clip.video, mask, actions, corners.astype(int), strict=True):
            cells = wardrobe.clip(clip.identity, *ACTIONS[action])
            shown, inside = frame[y : y + CELL, x : x + CELL], covered[y : y + CELL, x : x + CELL].astype(bool)
            opaque = cells[..., 3] == 255
            matches = [
                np.array_equal(inside, cell[..., 3] > 0) and np.array_equal(shown[solid], cell[solid][:, :3])
                for cell, solid in zip(cells, opaque, strict=True)
            ]
            assert any(matches)
            assert inside.sum() == covered.sum()


def test_the_landscape_is_where_the_shifts_lead(scene: WSprites, clips: list[Clip]) -> None:
    """Drawn again: outside the mask, every frame is the landscape moved by the shifts so far, to the pixel."""
    landscape, limit = scene.landscape, scene.background_limit
    assert landscape.shape == (96 + 2 * limit, 128 + 2 * limit, 3)
    for clip in clips:
        mask, _, shift, _, _ = labelled(clip)
        start = [
            (x, y)
            for x in range(-limit, limit + 1)
            for y in range(-limit, limit + 1)
            if outside(clip.video[0], view(landscape, limit, x, y), mask[0])
        ]
        assert len(start) == 1
        offsets = start[0] + np.concatenate([np.zeros((1, 2)), np.cumsum(shift, axis=0)]).astype(int)
        assert np.abs(offsets).max() <= limit
        for frame, covered, (x, y) in zip(clip.video, mask, offsets, strict=True):
            assert outside(frame, view(landscape, limit, x, y), covered)


def view(landscape: np.ndarray, limit: int, x: int, y: int) -> np.ndarray:
    """What a frame shows of a landscape that lies (x, y) to the right of and below its middle place."""
    return landscape[limit - y : limit - y + 96, limit - x : limit - x + 128]


def outside(frame: np.ndarray, other: np.ndarray, mask: np.ndarray) -> bool:
    row = mask[0] == 0  # most comparisons end here
    return np.array_equal(frame[0][row], other[0][row]) and np.array_equal(frame[mask == 0], other[mask == 0])


def test_frames_alone_tell_the_shift_of_the_landscape(clips: list[Clip]) -> None:
    """Nothing of the generator is used: of all shifts by up to 4 pixels, what is outside both masks differs least for
    the recorded one, by nothing; a parabola through its neighbours puts the least difference within 0.1 px of it."""
    reach = 4
    for clip in clips:
        mask, _, shift, _, _ = labelled(clip)
        for t in range(0, min(len(shift), 12), 4):
            cost = np.array(
                [
                    [difference(clip.video[t : t + 2], mask[t : t + 2], x=x, y=y) for x in range(-reach - 1, reach + 2)]
                    for y in range(-reach - 1, reach + 2)
                ]
            )
            row, column = np.unravel_index(cost[1:-1, 1:-1].argmin(), (2 * reach + 1, 2 * reach + 1))
            across, down = cost[row + 1, column : column + 3], cost[row : row + 3, column + 1]
            assert across[1] == 0
            found = [column - reach + vertex(across), row - reach + vertex(down)]
            np.testing.assert_allclose(found, shift[t], atol=0.1)


def difference(frames: np.ndarray, mask: np.ndarray, *, x: int, y: int) -> float:
    """Mean square of next(place + (x, y)) - frame(place), where neither place is in its mask."""
    height, width = mask.shape[1:]
    before = np.s_[0, max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    after = np.s_[1, max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
    plain = (mask[before] == 0) & (mask[after] == 0)
    squares = (frames[after].astype(np.int32) - frames[before]) ** 2
    return float(squares[plain].mean())


def vertex(values: np.ndarray) -> float:
    """Where a parabola through values at -1, 0 and 1 is least."""
    left, middle, right = values
    return (left - right) / (2 * (left + right - 2 * middle))


def test_actions_fit_the_shift_that_leads_to_their_frame(clips: list[Clip]) -> None:
    names = {(7, 0): "right", (-7, 0): "left", (0, 7): "front", (0, -7): "front"}
    for clip in clips:
        _, shift, _, actions, _ = labelled(clip)
        np.testing.assert_array_equal(clip.action, actions)
        for way, action in zip(shift, actions[1:], strict=True):
            if way.any():
                assert ACTIONS[action] == ("walk", names[tuple(way)])
            else:
                assert ACTIONS[action][0] in ("slash", "spellcast")


def test_staying_is_in_place_actions_of_4_to_8_frames() -> None:
    labels, shown = animate(np.random.default_rng(0), np.full(30_000, STAY))
    starts = np.flatnonzero(shown == 0)
    starts = starts[np.diff(starts, prepend=-9) > 3]  # the slash has cell 0 ... only where an action begins
    lengths = np.diff(starts)
    assert chisquare(np.bincount(lengths, minlength=9)[4:]).pvalue > FALSE_ALARMS
    assert set(lengths) == {4, 5, 6, 7, 8}
    chosen = labels[starts]
    assert set(chosen) == set(IN_PLACE)
    assert chisquare(np.bincount(chosen)[IN_PLACE]).pvalue > FALSE_ALARMS
    for start, end in pairwise(starts):
        assert len(set(labels[start:end])) == 1
        np.testing.assert_array_equal(shown[start:end], np.arange(end - start))


def test_walkers_keep_their_steps_around_corners_and_stop_an_action_to_walk() -> None:
    left, right = 0, 1
    moves = np.array([left] * 5 + [right] * 7 + [STAY] * 2 + [left] * 2)
    labels, shown = animate(np.random.default_rng(0), moves)
    walks = [ACTIONS.index(("walk", way)) for way in ("left", "right")]
    assert labels.tolist() == [walks[0]] * 5 + [walks[1]] * 7 + [labels[12]] * 2 + [walks[0]] * 2
    assert shown.tolist() == [*range(8), *range(4), 0, 1, 0, 1]
    assert labels[12] in IN_PLACE
    assert WALKS.keys() == set(range(5)) - {STAY}


def test_a_training_batch_has_every_label(tiny: WSprites) -> None:
    batch = next(iter(tiny.train_dataloader()))
    assert all(getattr(batch, field.name) is not None for field in fields(batch))
    assert batch.video.shape == (4, 12, 3, 96, 128)
    assert set(batch.identity.tolist()) <= set(tiny.characters("train").tolist())
    assert batch.action.shape == (4, 12)


def test_a_clip_depends_on_its_seed_character_and_number_alone(tiny: WSprites) -> None:
    first = list(tiny.read("val"))
    more = WSprites(root=str(tiny.root), tiny=True, clips_per_character=2, max_characters=20, seed=5)
    other = WSprites(root=str(tiny.root), tiny=True, simulation_seed=1)
    again = {(clip.identity, clip.name.rpartition(", ")[2]): clip for clip in more.read("val")}
    assert len(again) == more.count("val") == 4
    known = {clip.identity: clip for clip in first}
    for (character, number), clip in again.items():
        assert np.array_equal(clip.video, known[character].video) == (number == "0")
    assert all(
        a.video.shape != b.video.shape or (a.video != b.video).any()
        for a, b in zip(first, other.read("val"), strict=True)
    )


def test_lengths_are_spread_over_their_range(tiny: WSprites) -> None:
    module = WSprites(root=str(tiny.root), tiny=True, clips_per_character=10)
    lengths = [len(clip.video) for clip in module.read("val")]
    assert (min(lengths), max(lengths)) == module.frames


def test_splits_share_no_character_and_fewer_are_a_part_of_all(tiny: WSprites) -> None:
    parts = [set(tiny.characters(split).tolist()) for split in SPLITS]
    assert [len(part) for part in parts] == [28, 4, 4]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(tiny.wardrobe())
    for fewer, more in ((5, 12), (12, 20), (20, 36)):
        small, large = (WSprites(root=str(tiny.root), tiny=True, max_characters=number) for number in (fewer, more))
        for split, part in zip(SPLITS, parts, strict=True):
            assert set() < set(small.characters(split)) <= set(large.characters(split)) <= part


def test_the_real_sheets_give_1296_characters_8_to_1_to_1(real_data: Path, tmp_path: Path) -> None:
    sheets = str(real_data / "lpc_sheets")
    module = WSprites(root=str(tmp_path), sheets=sheets)
    parts = {split: set(module.characters(split).tolist()) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == {"train": 1036, "val": 130, "test": 130}
    assert set.union(*parts.values()) == set(range(1296))
    test_of_sprites = set(Sprites(root=str(tmp_path), sheets=sheets).characters("test").tolist())
    assert parts["val"] | parts["test"] < test_of_sprites


def test_a_small_frame_is_the_large_scene_averaged_with_its_labels(tiny: WSprites) -> None:
    half = WSprites(root=str(tiny.root), tiny=True, size=(48, 64))
    assert half.reduction == 2
    for small, large in zip(half.read("val"), tiny.read("val"), strict=True):
        mean = reduce(large.video.astype(float), "t (h a) (w b) c -> t h w c", "mean", a=2, b=2)
        np.testing.assert_array_less(np.abs(small.video - mean), 0.501)
        mask, shift, background, actions, position = labelled(small)
        large_mask, large_shift, large_background, large_actions, large_position = labelled(large)
        np.testing.assert_array_equal(shift * 2, large_shift)
        np.testing.assert_array_equal(background * 2, large_background)
        np.testing.assert_array_equal(actions, large_actions)
        np.testing.assert_array_equal((position + 0.5) * 2, large_position + 0.5)
        np.testing.assert_array_equal(mask, large_mask.reshape(len(mask), 48, 2, 64, 2).any(axis=(2, 4)))


@pytest.mark.parametrize(
    ("size", "scene"), [(64, (128, 128)), (96, (96, 96)), ((128, 256), (128, 256)), (32, (96, 96))]
)
def test_a_scene_leaves_room_to_walk(tiny: WSprites, size: Any, scene: tuple[int, int]) -> None:
    module = WSprites(root=str(tiny.root), tiny=True, size=size, background_limit=0)
    assert module.landscape.shape == (*scene, 3)
    clip = next(module.read("test"))
    assert clip.video.shape[1:3] == (module.height, module.width)


def test_other_backgrounds_are_other_stores(tiny: WSprites, real_data: Path) -> None:
    photograph = str(real_data / "background" / "landscape1_256.png")
    other = WSprites(root=str(tiny.root), tiny=True, background=photograph)
    assert other.store_folder() != tiny.store_folder()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": True}, "left"),
        ({"frames": (20, 10)}, "frames"),
        ({"clips_per_character": 0}, "clips_per_character"),
        ({"max_characters": 0}, "max_characters"),
        ({"step": 0}, "step"),
        ({"background_limit": -1}, "background_limit"),
        ({"p_inertia": 1.5}, "p_inertia"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WSprites(root=str(tmp_path), **options)


@pytest.mark.parametrize("make", [Path.exists, Path.touch, Path.mkdir])
def test_a_background_that_is_none_is_named(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "valley.png"
    make(path)
    module = WSprites(root=str(tmp_path), tiny=True, background=str(path))
    with pytest.raises(UserError, match=r"valley\.png"):
        module.prepare_data()
    assert not list(tmp_path.glob("stores/*/manifest.json"))


def test_the_papers_settings_are_the_data_part_of_recipes(tmp_path: Path) -> None:
    part = Path(__file__).parents[2] / "experiments" / "parts" / "data" / "w_sprites.yaml"
    data = yaml.safe_load(part.read_text("utf-8"))["data"]
    assert data["class_path"] == "data_modules.WSprites"
    module = WSprites(root=str(tmp_path), **data["init_args"])
    paper = {"height": 96, "width": 128, "clip_length": 12, "batch_size": 4, "frames": (10, 90)}
    walks = {"p_inertia": 0.9, "step": 7, "background_p_inertia": 0.95, "background_step": 2, "background_limit": 25}
    assert {name: getattr(module, name) for name in paper | walks} == paper | walks


def test_the_commands_know_it(tmp_path: Path) -> None:
    options = ["w_sprites", "--root", str(tmp_path), "--tiny"]
    assert prepare.main(options) == 0
    assert show.main([*options, "--out", str(tmp_path / "shown"), "--clips", "3"]) == 0
