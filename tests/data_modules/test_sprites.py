"""Sprites: the generator's split, whole clips, attributes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_modules.common.errors import DataError, UserError
from data_modules.drawings.tiny import write_lpc_sheets
from data_modules.sources.lpc import ATTRIBUTES
from data_modules.sprites import Sprites
from data_modules.store.build import locate
from data_modules.store.format import SPLITS


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Sprites:
    module = Sprites(root=str(tmp_path_factory.mktemp("data")), tiny=True, batch_size=6)
    module.prepare_data()
    return module


def test_a_training_batch(sprites: Sprites) -> None:
    batch = next(iter(sprites.train_dataloader())).decoded()
    assert batch.video.shape == (6, 8, 3, 64, 64)
    assert 0 == batch.video.min() < batch.video.max() <= 1
    assert set(batch.identity.tolist()) <= set(sprites.characters("train").tolist())


def test_every_character_does_every_action_once(sprites: Sprites) -> None:
    for split in SPLITS:
        clips = [(clip.identity, clip.action) for clip in sprites.read(split)]
        assert len(clips) == sprites.count(split)
        assert sorted(clips) == [(character, action) for character in sprites.characters(split) for action in range(9)]


def test_labels_mean_what_is_shown(sprites: Sprites) -> None:
    clip = next(clip for clip in sprites.read("train") if clip.action == 4)
    assert sprites.action_names[4] == "spellcast left"
    wardrobe = sprites.wardrobe()
    shown = wardrobe.clip(clip.identity, "spellcast", "left")
    np.testing.assert_array_equal(clip.video[shown[..., 3] == 255], shown[shown[..., 3] == 255][:, :3])
    worn = sprites.attributes(np.array(clip.identity))
    assert clip.name == " ".join(f"{name} {worn[name]}" for name in ATTRIBUTES) + ", spellcast left"


def test_the_split_of_the_real_characters_is_the_generators(real_data: Path, tmp_path: Path) -> None:
    module = Sprites(root=str(tmp_path), sheets=str(real_data / "lpc_sheets"))
    parts = {split: set(module.characters(split).tolist()) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == {"train": 950, "val": 50, "test": 296}
    assert set.union(*parts.values()) == set(range(1296))
    # np.random.seed(423); np.random.permutation(1296)[1000:], as Li & Mandt's frame_to_npy.py does.
    assert parts["test"] == set(np.random.RandomState(423).permutation(1296)[1000:].tolist())


def test_every_sheet_is_worn_in_every_split_of_the_real_characters(real_data: Path, tmp_path: Path) -> None:
    module = Sprites(root=str(tmp_path), sheets=str(real_data / "lpc_sheets"))
    for split in SPLITS:
        for worn in module.describe_labels().attributes.values():
            assert set(np.asarray(worn)[module.characters(split)].tolist()) == set(range(6))


def test_splits_do_not_share_characters(sprites: Sprites) -> None:
    parts = [set(sprites.characters(split).tolist()) for split in SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(sprites.wardrobe())


def test_the_background_is_what_was_asked_for(sprites: Sprites) -> None:
    module = Sprites(root=str(sprites.root), tiny=True, background=(10, 20, 30), size=32)
    clip = next(module.read("val"))
    assert clip.video.shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(clip.video[:, 0, 0], np.broadcast_to([10, 20, 30], (8, 3)))


def test_given_sheets_are_preferred_and_other_sheets_are_another_store(tmp_path: Path) -> None:
    without = Sprites(root=str(tmp_path))
    assert without.drawn
    drawn = without.store_folder()
    counts = {"body": 2, "bottomwear": 2, "topwear": 1, "hair": 1, "shoes": 1}
    (tmp_path / "lpc_sheets").mkdir()
    write_lpc_sheets(tmp_path / "lpc_sheets", counts)
    found = Sprites(root=str(tmp_path))
    assert not found.drawn
    assert found.folder == tmp_path / "lpc_sheets"
    assert found.store_folder() != drawn
    assert Sprites(root=str(tmp_path), sheets=str(tmp_path / "elsewhere")).folder == tmp_path / "elsewhere"


def test_the_stand_ins_say_what_they_are(tmp_path: Path) -> None:
    stand_in = locate(Sprites(root=str(tmp_path))).stand_in
    assert stand_in is not None
    assert "NOT the Sprites of the papers" in stand_in.warning
    assert "`vdsm-glass prepare sprites` downloads the real ones" in stand_in.warning
    assert locate(Sprites(root=str(tmp_path), tiny=True)).stand_in is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: Sprites(root=root, flip=True), "left"),
        (lambda root: Sprites(root=root, validation_part=0), "validation_part"),
        (lambda root: Sprites(root=root, background=(0, 0, 256)), "background"),
        (lambda root: Sprites(root=root, sheets=f"{root}/nowhere").prepare_data(), "nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, make: Callable[[str], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(str(tmp_path))


def test_too_few_characters_cannot_be_split(tmp_path: Path) -> None:
    write_lpc_sheets(tmp_path, dict.fromkeys(("body", "bottomwear", "topwear", "hair", "shoes"), 1))
    with pytest.raises(DataError, match="1 characters, too few"):
        Sprites(root=str(tmp_path), sheets=str(tmp_path)).characters("train")
