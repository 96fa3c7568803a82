"""Moving MNIST: constant speed, bounces, motion that says nothing of the digit, digits of their own split."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from data_modules.common.errors import DataError, UserError
from data_modules.drawings.tiny import write_mnist
from data_modules.moving_mnist import ROOM, Digits, MovingMNIST, bounced
from data_modules.store.format import SPLITS


def clips_of(module: MovingMNIST, pool: Digits, number: int) -> list:
    return [module.clip(pool, np.random.default_rng([7, index]), index) for index in range(number)]


@pytest.fixture(scope="module")
def pool() -> Digits:
    """A white block for every digit class, so that the motion can be seen exactly."""
    images = np.zeros((100, 28, 28), dtype=np.uint8)
    images[:, 4:24, 4:24] = 255
    return Digits(images, np.arange(100, dtype=np.uint8) % 10)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> MovingMNIST:
    module = MovingMNIST(root=str(tmp_path_factory.mktemp("data")), tiny=True, batch_size=8)
    module.prepare_data()
    return module


def test_a_training_batch(mnist: MovingMNIST) -> None:
    batch = next(iter(mnist.train_dataloader()))
    assert batch.video.shape == (8, 16, 3, 64, 64)
    assert (batch.video[:, :, :1] == batch.video).all()
    assert batch.position is not None
    assert batch.identity.max() < 10
    assert batch.action.max() < 4


def test_paths_reflect_at_the_walls() -> None:
    path = bounced(np.arange(-5.0, 3 * ROOM))
    assert path.min() == 0
    assert path.max() == ROOM
    np.testing.assert_allclose(np.abs(np.diff(path)), 1)


def test_speed_and_slope_are_the_labels(pool: Digits) -> None:
    module = MovingMNIST(slopes=3, speeds=(1.5, 3.0, 4.5), frames=30)
    seen = set()
    for seed in range(60):
        action, path = module._motion(np.random.default_rng(seed))
        slope, speed = divmod(action, 3)
        steps = np.abs(np.diff(path, axis=0))
        straight = steps.max(axis=0)  # a step in which it bounces is shorter
        assert np.hypot(*straight) == pytest.approx(module.speeds[speed])
        angle = np.degrees(np.arctan2(straight[1], straight[0]))
        assert 30 * (slope + 0.25) <= angle <= 30 * (slope + 0.75)
        seen.add(action)
    assert seen == set(range(9))


def test_the_digit_is_where_the_position_says(pool: Digits) -> None:
    for size in (64, 32):
        module = MovingMNIST(size=size)
        for clip in clips_of(module, pool, 5):
            weight = clip.video[..., 0].astype(float)
            rows, columns = np.mgrid[:size, :size]
            centre = np.stack([(weight * grid).sum((1, 2)) / weight.sum((1, 2)) for grid in (columns, rows)], axis=-1)
            np.testing.assert_allclose(clip.position, centre, atol=0.05)


def test_no_part_of_a_digit_leaves_the_frame(pool: Digits) -> None:
    for clip in clips_of(MovingMNIST(frames=40), pool, 20):
        assert (clip.video[..., 0].sum((1, 2)) == 255 * 20 * 20).all()


def test_motion_is_independent_of_the_digit() -> None:
    # One fixed draw; over all draws each of the three tests would raise a false alarm in 1 case of 1000.
    module = MovingMNIST(frames=2)
    blank = Digits(np.zeros((1000, 28, 28), dtype=np.uint8), np.arange(1000, dtype=np.uint8) % 10)
    clips = clips_of(module, blank, 6000)
    digit = np.array([clip.identity for clip in clips])
    position = np.stack([clip.position for clip in clips])
    observed = {
        "action": np.array([clip.action for clip in clips]),
        "start": (position[:, 0] // 8 @ np.array([1, 8])).astype(int),
        "heading": (np.sign(position[:, 1] - position[:, 0]) @ np.array([1, 3])).astype(int) + 4,
    }
    for name, values in observed.items():
        table = np.zeros((10, values.max() + 1))
        np.add.at(table, (digit, values), 1)
        table = table[:, table.sum(axis=0) > 50]
        p_value = float(np.asarray(chi2_contingency(table)[1]))
        assert p_value > 0.001, name


def test_two_digits_have_their_motions_in_the_order_of_their_labels(pool: Digits) -> None:
    module = MovingMNIST(digits=2)
    labels = module.describe_labels()
    assert len(labels.identity) == 100
    assert len(labels.action) == 16
    for clip in clips_of(module, pool, 30):
        first, second = divmod(clip.identity, 10)
        assert first <= second
        assert labels.identity[clip.identity] == f"{first}{second}"
        assert 0 <= clip.action < 16
        assert clip.video.max() == 255
        assert clip.position is None


def test_two_digits_are_joined_by_the_brighter_pixel() -> None:
    images = np.zeros((2, 28, 28), dtype=np.uint8)
    images[0], images[1] = 100, 200
    module = MovingMNIST(digits=2, frames=40)
    for clip in clips_of(module, Digits(images, np.array([0, 1], dtype=np.uint8)), 20):
        assert set(np.unique(clip.video)) <= {0, 100, 200}
        if clip.identity == 1:
            assert ((clip.video[..., 0] == 200).sum((1, 2)) == 28 * 28).all()


def test_same_seed_same_clips_whatever_their_number(tmp_path: Path) -> None:
    few, many = (MovingMNIST(root=str(tmp_path), train_clips=number) for number in (3, 10))
    for one, other in zip(few.read("train"), many.read("train"), strict=False):
        np.testing.assert_array_equal(one.video, other.video)
        assert (one.identity, one.action, one.name) == (other.identity, other.action, other.name)
    other_seed = MovingMNIST(root=str(tmp_path), train_clips=3, simulation_seed=1)
    assert (next(other_seed.read("train")).video != next(few.read("train")).video).any()
    assert other_seed.source() != few.source()
    assert MovingMNIST(root=str(tmp_path), train_clips=3, seed=5).source() == few.source()


def images_of(module: MovingMNIST) -> list[set[bytes]]:
    return [{image.tobytes() for image in module.pools[split].images} for split in SPLITS]


def test_splits_do_not_share_digits(mnist: MovingMNIST, tmp_path: Path) -> None:
    for module in (mnist, MovingMNIST(root=str(tmp_path))):
        train, val, test = images_of(module)
        assert not train & val
        assert not train & test
        assert not val & test
        for split in ("train", "test"):
            assert set(module.pools[split].labels.tolist()) == set(range(10))


def test_real_mnist_is_split_as_it_comes(real_data: Path) -> None:
    module = MovingMNIST(idx=str(real_data / "mnist"))
    assert [len(module.pools[split].labels) for split in SPLITS] == [55_000, 5_000, 10_000]
    assert not set.intersection(*images_of(module))
    clip = next(module.read("test"))
    assert clip.video.shape == (16, 64, 64, 3)
    assert clip.video.max() > 200


def test_scikit_learns_digits_are_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        MovingMNIST(root=str(tmp_path), train_clips=2, val_clips=2, test_clips=2).prepare_data()
    assert "scikit-learn" in caplog.text
    assert "`vdsm-glass prepare mmnist` downloads the real ones" in caplog.text


def test_half_a_mnist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    write_mnist(tmp_path / "mnist", train=30, test=10)
    assert not MovingMNIST(root=str(tmp_path)).fingerprint()["source"].startswith("scikit-learn's")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"not whole.*t10k-labels-idx1-ubyte\.gz"):
        MovingMNIST(root=str(tmp_path)).prepare_data()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: MovingMNIST(root=root, size=(64, 32)), "square"),
        (lambda root: MovingMNIST(root=root, flip=True), "flip"),
        (lambda root: MovingMNIST(root=root, speeds=()), "speeds"),
        (lambda root: MovingMNIST(root=root, speeds=(40.0,)), "speeds"),
        (lambda root: MovingMNIST(root=root, slopes=0), "slopes"),
        (lambda root: MovingMNIST(root=root, test_clips=0), "clips"),
        (lambda root: MovingMNIST(root=root, idx=f"{root}/nowhere").prepare_data(), "nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, make: Callable[[str], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(str(tmp_path))
