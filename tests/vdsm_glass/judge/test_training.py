"""A judge learns, is kept in a file, and is refused where it does not belong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.store.clip_source import Clip
from data_modules.store.format import SPLITS, Split
from tests.data_modules.toy import Toy
from vdsm_glass import cli
from vdsm_glass.checkpoints import CheckpointError
from vdsm_glass.judge.judge import FORMAT, Judge, load_judge, save_judge
from vdsm_glass.judge.labels import clip_labels, judgeable, split_labels
from vdsm_glass.judge.network import JudgeSizes
from vdsm_glass.judge.training import cross_entropies, recoloured, train_judge

pytestmark = pytest.mark.filterwarnings(
    "ignore:The '.*' does not have many workers", "ignore:The number of training batches"
)
SMALL = JudgeSizes(channels=(8, 16), rnn_dim=16)
COLOURS = np.array([(255, 40, 40), (40, 255, 40), (40, 40, 255)], np.uint8)
STEPS = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])


class Squares(VideoDataModule):
    """A square that leaves from about the middle: identity is its colour, action its direction."""

    name = "squares"

    def __init__(self, *, colours: int = 3, **kwargs: Any) -> None:
        super().__init__(size=16, clip_length=6, batch_size=12, **kwargs)
        self.colours = colours

    def source(self) -> dict[str, Any]:
        return {"colours": self.colours}

    def count(self, split: Split) -> int:
        return 120 if split == "train" else 24

    def read(self, split: Split) -> Iterator[Clip]:
        for number in range(self.count(split)):
            colour, direction = number % self.colours, number // self.colours % len(STEPS)
            video = self.draw(split, number, colour=colour, direction=direction)
            yield Clip(video=video, identity=colour, action=direction)

    def draw(self, split: Split, number: int, *, colour: int, direction: int) -> np.ndarray:
        start = np.random.default_rng([SPLITS.index(split), number]).integers(4, 8, size=2)
        video = np.zeros((6, 16, 16, 3), np.uint8)
        for frame, corner in enumerate(start + STEPS[direction] * np.arange(6)[:, None]):
            rows, columns = (np.arange(5) + corner[:, None]) % 16
            video[frame, rows[:, None], columns] = COLOURS[colour]
        return video


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def judge(root: Path) -> Judge:
    data = Squares(root=str(root))
    return train_judge(data, sizes=SMALL, epochs=12, learning_rate=0.01, accelerator="cpu", progress=False)


def test_it_recognises_clips_that_it_has_not_seen_and_says_how_often(judge: Judge, root: Path):
    assert judge.classes == {"identity": (0, 1, 2), "action": (0, 1, 2, 3)}
    # Chance is 1/3 and 1/4 on 24 clips: so many right by luck has a probability below 1e-8.
    assert judge.accuracy["identity"] > 0.9
    assert judge.accuracy["action"] > 0.9
    data = Squares(root=str(root))
    dataset = data.evaluation_dataset("test")
    batch = dataset[list(range(len(dataset)))].decoded()
    found = judge.probabilities(batch.video)
    for head, wanted in judge.targets(split_labels(data, dataset)).items():
        torch.testing.assert_close(found[head].sum(dim=1), torch.ones(len(dataset)))
        right = found[head].argmax(dim=1).numpy() == wanted
        assert right.mean() == pytest.approx(judge.accuracy[head])


def test_a_file_gives_the_same_judge_back(judge: Judge, root: Path, tmp_path: Path):
    found = load_judge(save_judge(judge, tmp_path / "judge.pt"))
    video = torch.rand(2, 5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for head, probabilities in judge.probabilities(video).items():
        assert torch.equal(found.probabilities(video)[head], probabilities)
    assert (found.classes, found.accuracy, found.frames) == (judge.classes, judge.accuracy, 6)
    found.check(Squares(root=str(root)))
    assert Squares(root=str(root)).store_folder().name == f"squares-{found.source_hash}"
    assert [file.name for file in tmp_path.iterdir()] == ["judge.pt"]


def test_a_judge_of_other_clips_is_refused(judge: Judge, root: Path, tmp_path: Path):
    toys = Toy(root=str(tmp_path), size=16)
    toys.prepare_data()
    with pytest.raises(UserError, match=r"other clips than those of toy here: .*dataset 'squares' and here 'toy'"):
        judge.check(toys)
    others = Squares(root=str(root), colours=2)
    others.prepare_data()
    with pytest.raises(UserError, match=r"here: colours 3 and here 2; train one .*vdsm-glass judge squares"):
        judge.check(others)


def test_files_that_are_no_whole_judge_are_refused(judge: Judge, tmp_path: Path):
    whole = save_judge(judge, tmp_path / "judge.pt").read_bytes()
    cut, foreign = tmp_path / "cut.pt", tmp_path / "foreign.pt"
    cut.write_bytes(whole[: len(whole) // 2])
    torch.save({"state_dict": {}}, foreign)
    with pytest.raises(CheckpointError, match=r"cut\.pt: not a whole checkpoint"):
        load_judge(cut)
    with pytest.raises(CheckpointError, match=rf"foreign\.pt: says format None, .*{FORMAT}"):
        load_judge(foreign)
    with pytest.raises(CheckpointError, match=r"gone\.pt: no such judge; train one: vdsm-glass judge"):
        load_judge(tmp_path / "gone.pt")
    content = torch.load(tmp_path / "judge.pt", weights_only=True)
    content["sizes"]["rnn_dim"] = 8
    torch.save(content, tmp_path / "resized.pt")
    with pytest.raises(CheckpointError, match=r"resized\.pt: its weights are not those of its sizes"):
        load_judge(tmp_path / "resized.pt")
    huge = content | {"sizes": {"channels": (4, 4), "rnn_dim": 10**9}}
    for spoilt in ({**content, "sizes": 3}, {**content, "classes": []}, {**content, "state_dict": {"a": 1}}, huge):
        torch.save(spoilt, tmp_path / "spoilt.pt")
        with pytest.raises(CheckpointError, match=r"spoilt\.pt: .*train it again"):
            load_judge(tmp_path / "spoilt.pt")
    for missing in ("source", "frames", "accuracy", "classes", "state_dict"):
        torch.save({key: value for key, value in content.items() if key != missing}, tmp_path / "spoilt.pt")
        with pytest.raises(CheckpointError, match=rf"spoilt\.pt: is no judge .*{missing}"):
            load_judge(tmp_path / "spoilt.pt")


def test_the_command_trains_on_what_characters_wear(tmp_path: Path, capsys, caplog):
    out = tmp_path / "judges" / "sprites.pt"
    small = ["--channels", "4", "4", "--rnn_dim", "4", "--epochs", "1", "--batches_per_epoch", "2", "--size", "8"]
    assert cli.main(["judge", "sprites", "--tiny", "--root", str(tmp_path), *small, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    judge = load_judge(out)
    assert {head: len(labels) for head, labels in judge.classes.items()} == {
        "body": 3,
        "bottomwear": 3,
        "topwear": 2,
        "hair": 2,
        "action": 9,
    }
    assert f"{judge.accuracy['hair']:.4f}" in printed
    assert judge.accuracy["action"] < 0.9  # of nine, after two steps
    assert "action is worth little" in caplog.text
    assert str(out) in printed.replace("\n", "")


def test_frames_that_are_too_small_and_pairs_of_actions_are_refused(root: Path):
    with pytest.raises(UserError, match="16x16 are too small for 5 convolutions"):
        train_judge(Squares(root=str(root)), sizes=JudgeSizes(channels=(4,) * 5), epochs=1)
    with pytest.raises(UserError, match="pair_actions"):
        train_judge(Squares(root=str(root), pair_actions=True), sizes=SMALL, epochs=1)


def test_an_action_that_changes_within_a_clip_is_unknown(tmp_path: Path):
    action = np.array([[1, 1, 1], [2, 2, 0], [0, 0, 0]])
    toys = Toy(root=str(tmp_path), clip_length=3, labels_per_frame=True, identities=2)
    toys.prepare_data()
    labels = clip_labels(toys, identity=np.array([0, -1, 1]), action=action)
    assert labels["action"].tolist() == [1, -1, 0]
    assert labels["identity"].tolist() == [0, -1, 1]
    split = toys.store.split("test")
    windows = np.stack([split.window("action", clip, length=3) for clip in range(len(split))])
    same = (windows == windows[:, :1]).all(axis=1)
    found = split_labels(toys, toys.evaluation_dataset("test"))["action"]
    assert np.array_equal(found, np.where(same, windows[:, 0], -1))


def test_only_what_all_splits_know_is_judged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    toys = Toy(root=str(tmp_path), clip_length=4, identities=1)
    toys.prepare_data()
    assert judgeable(toys) == {"action": (0, 1, 2, 3)}
    assert "identity is not judged" in caplog.text
    dull = Toy(root=str(tmp_path), clip_length=4, identities=1, clips=1)
    dull.prepare_data()
    with pytest.raises(UserError, match="nothing to judge"):
        judgeable(dull)


def test_unknown_labels_teach_nothing():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]], requires_grad=True)
    losses = cross_entropies({"a": logits, "b": logits}, {"a": torch.tensor([0, 1, -1]), "b": torch.full((3,), -1)})
    wanted = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert losses["a"].item() == pytest.approx(wanted)
    assert losses["b"].item() == 0
    losses["a"].backward()
    assert logits.grad is not None
    assert not logits.grad[2].any()


def test_recolouring_is_one_linear_map_of_colours_a_clip_within_their_range():
    torch.manual_seed(0)
    video = torch.rand(3, 4, 3, 5, 5)
    video[1] = video[0]
    found = recoloured(video)
    assert 0 <= found.min() <= found.max() <= 1
    for before, after in zip(video, found, strict=True):
        pixels, colours = (clip.movedim(1, -1).reshape(-1, 3) for clip in (before, after))
        mixture = torch.linalg.lstsq(pixels, colours).solution
        torch.testing.assert_close(pixels @ mixture, colours)
        assert (mixture > -1e-5).all()
        assert ((mixture.sum(dim=0) > 0.29) & (mixture.sum(dim=0) < 1.01)).all()
    assert not torch.allclose(found[0], found[1], atol=0.05)


class Confounded(Squares):
    """Squares whose colour tells the direction in training and validation, and is never with it in the test."""

    name = "confounded"

    def read(self, split: Split) -> Iterator[Clip]:
        for number, clip in enumerate(super().read(split)):
            direction = number % 2
            colour = direction if split != "test" else 1 - direction
            moved = self.draw(split, number, colour=colour, direction=direction)
            yield replace(clip, video=moved, identity=colour, action=direction)


@pytest.mark.parametrize("recolour", [False, True])
def test_an_action_is_told_from_who_does_it_once_colours_say_nothing(recolour: bool, root: Path):
    data = Confounded(root=str(root), colours=2)
    judge = train_judge(
        data, sizes=SMALL, epochs=8, learning_rate=0.01, recolour=recolour, accelerator="cpu", progress=False
    )
    # By luck 20 of 24 are right in fewer than 1 of 1000 cases.
    assert (judge.accuracy["action"] > 0.8) == recolour
