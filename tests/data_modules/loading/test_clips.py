from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from einops import rearrange

from data_modules.batch import VideoBatch
from data_modules.common.errors import DataError
from data_modules.loading.clips import ClipDataset
from tests.data_modules.toy import SIDE, WIDTH, Toy

LENGTH = 4
KEYS = [(position, draw) for position in range(10) for draw in range(6)]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    module = Toy(root=str(tmp_path_factory.mktemp("toy")))
    module.prepare_data()
    return module


def dataset(toy: Toy, **options: Any) -> ClipDataset:
    return ClipDataset(toy.store.split("train"), **{"length": LENGTH} | options)


def test_first_frames_are_those_of_the_clip(toy: Toy) -> None:
    batch = dataset(toy, stride=2)[[0, 3]].decoded()
    for i, number in enumerate((0, 3)):
        clip = toy.clip("train", number)
        assert clip.mask is not None
        frames = slice(0, 2 * LENGTH, 2)
        expected = rearrange(clip.video[frames], "t h w c -> t c h w") / np.float32(255)
        np.testing.assert_array_equal(batch.video[i], expected)
        np.testing.assert_array_equal(batch.mask[i, :, 0], clip.mask[frames])  # pyright: ignore
        np.testing.assert_array_equal(batch.position[i], clip.position[frames])  # pyright: ignore
        np.testing.assert_array_equal(batch.local_action[i], clip.local_action[frames])  # pyright: ignore
        steps = clip.background_shift[: 2 * LENGTH - 2]  # pyright: ignore
        np.testing.assert_allclose(batch.background_shift[i], steps[0::2] + steps[1::2], rtol=1e-6)  # pyright: ignore
    assert batch.identity.tolist() == [0, 0]
    assert batch.action.tolist() == [0, 3]
    assert batch.clip.tolist() == [0, 3]


@pytest.mark.parametrize("stride", [1, 2, (1, 4)])
def test_labels_stay_true_under_mirroring_and_stride(toy: Toy, stride: int | tuple[int, int]) -> None:
    """The square is where `position` and `mask` say, and moves by `foreground_shift`, mirrored or not."""
    batch = dataset(toy, stride=stride, length=3, flip=True)[KEYS].decoded()
    assert batch.mask is not None
    assert batch.position is not None
    assert batch.foreground_shift is not None
    seen = batch.video.isclose(torch.tensor(200 / 255)).all(dim=2, keepdim=True).float()
    torch.testing.assert_close(batch.mask, seen)
    columns = torch.arange(WIDTH, dtype=torch.float32)
    centre = (seen[:, :, 0] * columns).sum(dim=(2, 3)) / SIDE**2
    torch.testing.assert_close(batch.position[..., 0], centre)
    torch.testing.assert_close(batch.position.diff(dim=1), batch.foreground_shift)


def test_flips_whole_clips_half_of_the_time(toy: Toy) -> None:
    """Of 600 draws about half are mirrored; a false alarm comes once in 10^9 runs (6 standard deviations)."""
    keys = [(0, draw) for draw in range(600)]
    plain, flipped = (dataset(toy, length=9, flip=flip)[keys].decoded() for flip in (False, True))
    mirrored = (plain.video != flipped.video).flatten(start_dim=1).any(dim=1)
    assert abs(mirrored.sum().item() - 300) < 6 * np.sqrt(150)
    torch.testing.assert_close(flipped.video[mirrored], plain.video[mirrored].flip(-1))
    assert plain.background_shift is not None
    assert flipped.background_shift is not None
    there = flipped.background_shift[mirrored] * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(there, plain.background_shift[mirrored])


def test_starts_cover_the_whole_clip(toy: Toy) -> None:
    batch = dataset(toy)[[(2, draw) for draw in range(200)]]
    part = toy.store.split("train")
    starts = {
        start
        for start in range(part.lengths[2] - LENGTH + 1)
        if (batch.video == torch.tensor(part.frames(2, start, LENGTH))).flatten(start_dim=1).all(dim=1).any()
    }
    assert starts == set(range(part.lengths[2] - LENGTH + 1))


def test_every_stride_that_a_clip_allows_is_drawn_and_no_other(toy: Toy) -> None:
    """Clip 0 has 9 frames: 4 of them are at most 2 apart, while clip 4's 13 frames allow 4."""
    part = toy.store.split("train")
    for clip, allowed in ((0, {1, 2}), (4, {1, 2, 3, 4})):
        frames = part.frames(clip)
        batch = dataset(toy, stride=(1, 5))[[(clip, draw) for draw in range(100)]]
        strides = set()
        for video in batch.video.numpy():
            numbers = [int(np.flatnonzero((frames == frame).all(axis=(1, 2, 3)))[0]) for frame in video]
            assert len(set(np.diff(numbers))) == 1
            strides.add(numbers[1] - numbers[0])
        assert strides == allowed


def test_evaluation_takes_the_least_stride(toy: Toy) -> None:
    torch.testing.assert_close(dataset(toy, stride=(2, 3))[[0, 3]].video, dataset(toy, stride=2)[[0, 3]].video)


def test_the_two_halves_of_a_pair_have_one_stride(toy: Toy) -> None:
    batch = dataset(toy, pair=True, stride=(1, 4), length=3)[KEYS]
    part = toy.store.split("train")
    for video in batch.video:
        strides = [
            {
                stride
                for clip in range(len(part))
                for stride in range(1, 5)
                for start in range(part.lengths[clip] - 2 * stride)
                if (part.frames(clip, start, 3, stride) == half.numpy()).all()
            }
            for half in (video[:3], video[3:])
        ]
        assert len(strides[0]) == 1
        assert strides[0] == strides[1]


@pytest.mark.parametrize("length", [1, LENGTH])
def test_a_batch_survives_being_sent(toy: Toy, length: int) -> None:
    batch = dataset(toy, length=length, flip=True)[KEYS]
    sent = pickle.loads(pickle.dumps(batch))
    assert sent.present.keys() == batch.present.keys()
    for name, tensor in batch.present.items():
        assert sent.present[name].dtype == tensor.dtype
        assert torch.equal(sent.present[name], tensor)
    some = VideoBatch.unlabelled(torch.rand(3, 2, 3, 5, 7))
    back = pickle.loads(pickle.dumps(some))
    assert torch.equal(back.video, some.video)
    assert back.mask is None
    assert back.decoded() is back, "it was decoded before"


def test_a_sample_depends_on_its_key_alone(toy: Toy) -> None:
    data = dataset(toy, flip=True, stride=(1, 2))
    together = data[KEYS]
    for i in (0, 17, 59):
        alone = data[[KEYS[i]]]
        for field in fields(VideoBatch):
            torch.testing.assert_close(getattr(alone, field.name)[0], getattr(together, field.name)[i])


def test_pairs_join_two_clips_of_one_identity(toy: Toy) -> None:
    part = toy.store.split("train")
    batch = dataset(toy, pair=True)[KEYS]
    assert batch.video.shape[1] == batch.action.shape[1] == 2 * LENGTH
    assert batch.foreground_shift is None, "unknown where the clips meet"
    identity, action = part.array("identity"), part.array("action")
    partners = set()
    for i, (position, _) in enumerate(KEYS):
        halves = batch.video[i, :LENGTH], batch.video[i, LENGTH:]
        first, second = (_clip_that_shows(part, half) for half in halves)
        assert first == position
        assert second != position
        assert identity[first] == identity[second] == batch.identity[i]
        assert batch.action[i].tolist() == [action[first]] * LENGTH + [action[second]] * LENGTH
        partners.add((first, second))
    assert len(partners) > len(part), "always the same partner"


def _clip_that_shows(part, half: torch.Tensor) -> int:
    frames = half.numpy()
    return next(
        clip
        for clip in range(len(part))
        for start in range(part.lengths[clip] - LENGTH + 1)
        if (part.frames(clip, start, LENGTH) == frames).all()
    )


def test_an_identity_of_one_clip_is_paired_with_itself(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), clips=2, identities=2)
    module.prepare_data()
    batch = dataset(module, pair=True)[[(1, 5)]]
    assert _clip_that_shows(module.store.split("train"), batch.video[0, LENGTH:]) == 1


def test_actions_of_frames_are_cut_like_the_frames(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), labels_per_frame=True)
    module.prepare_data()
    batch = dataset(module, stride=2)[KEYS]
    assert batch.local_action is not None
    assert batch.action.shape == (len(KEYS), LENGTH)
    torch.testing.assert_close(batch.action, batch.local_action)
    assert dataset(module, pair=True)[KEYS].action.shape == (len(KEYS), 2 * LENGTH)


def test_short_clips_are_left_out_and_counted(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    data = ClipDataset(toy.store.split("train"), length=12, name="toy train")
    assert "6 of 10 toy train clips have fewer than 12 frames" in caplog.text
    assert data[list(range(len(data)))].clip.tolist() == [3, 4, 8, 9]


def test_no_clip_long_enough_is_an_error(toy: Toy) -> None:
    with pytest.raises(DataError, match=r"none of 10 has 26 frames \(6 of them, 5 apart\)"):
        ClipDataset(toy.store.split("train"), length=6, stride=5)
