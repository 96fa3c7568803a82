"""LPC sheets: cells land where the layout says, layers in order, and all characters differ."""

from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.drawings.tiny import write_lpc_sheets
from data_modules.shared.characters import ACTIONS as SPRITES_ACTIONS
from data_modules.shared.characters import STANDARD
from data_modules.sources.lpc import ACTIONS, ATTRIBUTES, DIRECTIONS, SHEET_SIZE, STACK, Wardrobe, over, read_sheet


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheets")
    write_lpc_sheets(folder, {"body": 2, "bottomwear": 3, "topwear": 2, "hair": 4, "shoes": 1})
    return folder


def numbered_sheet() -> Image.Image:
    """Every cell is filled with its row and its column."""
    rows, columns = np.mgrid[:21, :13]
    cells = np.stack([rows, columns, np.zeros_like(rows), np.full_like(rows, 255)], axis=-1).astype(np.uint8)
    return Image.fromarray(cells).resize(SHEET_SIZE, Image.Resampling.NEAREST)


def wardrobe_of(folder: Path, **sheets: list[Image.Image]) -> Wardrobe:
    empty = Image.new("RGBA", SHEET_SIZE)
    for layer in STACK:
        (folder / layer).mkdir()
        for number, sheet in enumerate(sheets.get(layer, [empty])):
            sheet.save(folder / layer / f"{number}.png")
    return Wardrobe(folder)


@pytest.mark.parametrize(
    ("action", "direction", "row", "columns"),
    [
        ("spellcast", "back", 0, [0, 1, 2, 3, 4, 5, 4, 6]),
        ("spellcast", "right", 3, [0, 1, 2, 3, 4, 5, 4, 6]),
        ("walk", "left", 9, [8, 1, 2, 3, 4, 5, 6, 7]),
        ("walk", "front", 10, [8, 1, 2, 3, 4, 5, 6, 7]),
        ("slash", "front", 14, [0, 1, 2, 3, 4, 5, 4, 0]),
    ],
)
def test_frames_are_the_cells_of_the_layout(
    tmp_path: Path, action: str, direction: str, row: int, columns: list[int]
) -> None:
    clip = wardrobe_of(tmp_path, body=[numbered_sheet()]).clip(0, action, direction)
    expected = np.array([[row, column, 0, 255] for column in columns], dtype=np.uint8)
    np.testing.assert_array_equal(clip, np.broadcast_to(expected[:, None, None], (8, 64, 64, 4)))


def test_later_layers_cover_earlier_ones(tmp_path: Path) -> None:
    # Each layer paints all to the right of its own stripe, so that stripe n shows layer n.
    sheets = {}
    for number, layer in enumerate(STACK):
        cells = np.zeros((64, 64, 4), dtype=np.uint8)
        cells[:, number * 10 :] = (number + 1, 0, 0, 255)
        sheets[layer] = [Image.fromarray(np.tile(cells, (21, 13, 1)))]
    clip = wardrobe_of(tmp_path, **sheets).clip(0, "walk", "front")
    assert [int(clip[0, 0, 10 * number, 0]) for number in range(5)] == [1, 2, 3, 4, 5]


def test_half_transparent_pixels_are_blended() -> None:
    rgba = np.array([[[[200, 100, 0, 0], [200, 100, 0, 51], [200, 100, 0, 255]]]], dtype=np.uint8)
    expected = [[50, 60, 70], [0.2 * 200 + 0.8 * 50, 0.2 * 100 + 0.8 * 60, 0.8 * 70], [200, 100, 0]]
    np.testing.assert_allclose(over(rgba, (50, 60, 70))[0, 0], expected, atol=1)


def test_a_number_is_its_attributes(drawn: Path) -> None:
    wardrobe = Wardrobe(drawn)
    assert len(wardrobe) == 2 * 3 * 2 * 4
    attributes = wardrobe.attributes(np.arange(len(wardrobe)))
    assert len(set(zip(*(attributes[name].tolist() for name in ATTRIBUTES), strict=True))) == len(wardrobe)
    # The generator's numbering: ((body · bottoms + bottom) · tops + top) · hairs + hair.
    number = ((attributes["body"] * 3 + attributes["bottomwear"]) * 2 + attributes["topwear"]) * 4 + attributes["hair"]
    np.testing.assert_array_equal(number, np.arange(len(wardrobe)))


def test_the_order_of_reading_does_not_matter(drawn: Path) -> None:
    ordered, mixed = Wardrobe(drawn), Wardrobe(drawn)
    clips = {number: ordered.clip(number, "slash", "left") for number in range(len(ordered))}
    for number in np.random.default_rng(0).permutation(len(mixed)).tolist():
        np.testing.assert_array_equal(mixed.clip(number, "slash", "left"), clips[number])


def test_drawn_characters_move_and_face_four_ways(drawn: Path) -> None:
    wardrobe = Wardrobe(drawn)
    clips = [wardrobe.clip(0, action, direction) for action in ACTIONS for direction in DIRECTIONS]
    for clip in clips:
        assert len({frame.tobytes() for frame in clip}) >= 5
        border = clip[..., 3].copy()
        border[:, 1:-1, 1:-1] = 0
        assert not border.any()  # nobody is cut off
    assert all((first != second).any() for first, second in combinations(clips, 2))


def distinct_clips(wardrobe: Wardrobe) -> set[bytes]:
    return {
        hashlib.sha1(over(wardrobe.clip(character, *action), (0, 0, 0)).tobytes()).digest()
        for character in range(len(wardrobe))
        for action in SPRITES_ACTIONS
    }


def test_1296_real_characters_in_9_actions_are_all_distinct(real_data: Path) -> None:
    wardrobe = Wardrobe(real_data / "lpc_sheets")
    assert wardrobe.shape == (6, 6, 6, 6)
    assert len(distinct_clips(wardrobe)) == 1296 * 9


@pytest.mark.thorough
def test_1296_drawn_characters_in_9_actions_are_all_distinct(tmp_path: Path) -> None:
    write_lpc_sheets(tmp_path, STANDARD)
    assert len(distinct_clips(Wardrobe(tmp_path))) == 1296 * 9


def test_real_characters_are_dressed_and_stay_in_their_cell(real_data: Path) -> None:
    wardrobe = Wardrobe(real_data / "lpc_sheets")
    for action, direction in SPRITES_ACTIONS:
        clip = wardrobe.clip(0, action, direction)
        bare = np.asarray(wardrobe._strips(wardrobe.sheets["body"][0])[action, direction]).reshape(clip.shape)
        changed = (clip != bare).any(axis=-1).mean(axis=(1, 2))
        assert (changed > 0.5 * (clip[..., 3] > 0).mean(axis=(1, 2))).all()
        coverage = (clip[..., 3] > 0).mean(axis=(1, 2))
        assert (coverage > 0.15).all()
        assert (coverage < 0.5).all()


def test_a_sheet_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    Image.new("RGBA", (832, 1343)).save(tmp_path / "body.png")
    with pytest.raises(DataError, match=r"body\.png: is 832x1343 pixels; an LPC sheet is 832x1344"):
        read_sheet(tmp_path / "body.png")


def test_a_corrupt_sheet_is_refused_by_name(tmp_path: Path) -> None:
    numbered_sheet().save(tmp_path / "body.png")
    content = (tmp_path / "body.png").read_bytes()
    (tmp_path / "body.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"body\.png"):
        read_sheet(tmp_path / "body.png")


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    write_lpc_sheets(tmp_path, {"body": 1, "bottomwear": 1, "topwear": 1, "shoes": 1})
    with pytest.raises(DataError, match="hair: no PNG sheets"):
        Wardrobe(tmp_path)


def test_another_sheet_gives_another_fingerprint(drawn: Path, tmp_path: Path) -> None:
    write_lpc_sheets(tmp_path, {"body": 2, "bottomwear": 3, "topwear": 2, "hair": 4, "shoes": 1})
    assert Wardrobe(tmp_path).fingerprint() == Wardrobe(drawn).fingerprint()
    (tmp_path / "hair" / "0.png").write_bytes((tmp_path / "hair" / "1.png").read_bytes())
    assert Wardrobe(tmp_path).fingerprint() != Wardrobe(drawn).fingerprint()
