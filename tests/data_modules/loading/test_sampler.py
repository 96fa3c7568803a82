from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from data_modules.batch import VideoBatch
from data_modules.loading.sampler import ClipLoader, ClipSampler, EvaluationSampler
from tests.data_modules.toy import Toy
from tests.processes import exit_codes

ONE_PASS = 5  # batches of an epoch in the tests with a Trainer


class Numbers(torch.utils.data.Dataset):
    def __init__(self, clips: int) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, keys: list) -> list:
        return keys


def clips_of(sampler: ClipSampler | EvaluationSampler) -> list[list[int]]:
    return [[key[0] if isinstance(key, tuple) else key for key in batch] for batch in sampler]


@given(
    clips=st.integers(1, 40),
    batch_size=st.integers(1, 9),
    batches=st.none() | st.integers(1, 12),
    epoch=st.integers(0, 3),
)
@settings(deadline=None)
def test_an_epoch_takes_every_clip_before_any_comes_twice(
    clips: int, batch_size: int, batches: int | None, epoch: int
) -> None:
    sampler = ClipSampler(Numbers(clips), batch_size=batch_size, batches=batches)
    sampler.set_epoch(epoch)
    drawn = clips_of(sampler)
    assert [len(batch) for batch in drawn] == [batch_size] * len(sampler)
    times = np.bincount(np.concatenate(drawn), minlength=clips)
    assert times.max() - times.min() <= 1
    if batches is None:
        assert times.min() >= 1
        assert len(sampler) == -(-clips // batch_size)


@pytest.mark.parametrize("world_size", [2, 3])
def test_batches_of_all_processes_make_the_batch_of_one(world_size: int) -> None:
    alone = list(ClipSampler(Numbers(50), batch_size=4 * world_size, seed=3))
    shares = [
        list(ClipSampler(Numbers(50), batch_size=4, seed=3, world_size=world_size, rank=rank))
        for rank in range(world_size)
    ]
    for batch, parts in zip(alone, zip(*shares, strict=True), strict=True):
        assert sorted(batch) == sorted(key for part in parts for key in part)


@given(clips=st.integers(1, 50), batch_size=st.integers(1, 6), world_size=st.integers(1, 4), epoch=st.integers(0, 2))
@settings(deadline=None)
def test_the_shares_of_all_processes_are_an_epoch_of_every_clip(
    clips: int, batch_size: int, world_size: int, epoch: int
) -> None:
    """Every clip comes, and as often as any other but for one; once exactly where the batches come out even."""
    shares = []
    for rank in range(world_size):
        sampler = ClipSampler(Numbers(clips), batch_size=batch_size, world_size=world_size, rank=rank)
        sampler.set_epoch(epoch)
        shares.append(np.concatenate(clips_of(sampler)))
    assert len({len(share) for share in shares}) == 1
    times = np.bincount(np.concatenate(shares), minlength=clips)
    assert 1 <= times.min() <= times.max() <= times.min() + 1
    if clips % (batch_size * world_size) == 0:
        assert set(times) == {1}


def test_order_and_draws_depend_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list:
        sampler = ClipSampler(Numbers(30), batch_size=7, seed=seed)
        sampler.set_epoch(epoch)
        torch.rand(3)
        np.random.default_rng().random()
        return list(sampler)

    assert order(1, 4) == order(1, 4)
    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({str(one) for one in orders}) == 9
    draws = [draw for one in orders for batch in one for _, draw in batch]
    assert len(set(draws)) == len(draws)


@given(clips=st.integers(1, 60), batch_size=st.integers(1, 9), world_size=st.integers(1, 5))
@settings(deadline=None)
def test_evaluation_takes_every_clip_once_in_equally_many_batches(clips: int, batch_size: int, world_size: int) -> None:
    world_size = min(world_size, clips)
    shares = [
        clips_of(EvaluationSampler(Numbers(clips), batch_size=batch_size, world_size=world_size, rank=rank))
        for rank in range(world_size)
    ]
    assert sorted(clip for share in shares for batch in share for clip in batch) == list(range(clips))
    assert len({len(share) for share in shares}) == 1
    sizes = [len(batch) for share in shares for batch in share]
    assert 1 <= min(sizes) <= max(sizes) <= max(batch_size, 2 if world_size > 1 else 1)
    assert max(sizes) - min(sizes) <= 1


def loader(toy: Toy, workers: int) -> ClipLoader:
    module = Toy(root=str(toy.root), num_workers=workers, batch_size=3, clip_length=4, flip=True)
    return module.train_dataloader()  # pyright: ignore[reportReturnType]


def fingerprints(batches: Any) -> list[tuple]:
    return [(batch.clip.tolist(), batch.video.double().sum().item(), batch.position.sum().item()) for batch in batches]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    module = Toy(root=str(tmp_path_factory.mktemp("toy")))
    module.prepare_data()
    return module


def test_batches_are_the_same_for_any_number_of_workers(toy: Toy) -> None:
    loaders = [loader(toy, workers) for workers in (0, 1, 2)]
    for epoch in range(2):
        for each in loaders:
            each.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]
        alone, *shared = [list(each) for each in loaders]
        for batches in shared:
            for one, other in zip(alone, batches, strict=True):
                assert one.present.keys() == other.present.keys()
                assert all(torch.equal(one.present[field], other.present[field]) for field in one.present)


@pytest.mark.parametrize(("saved_with", "resumed_with"), [(0, 0), (2, 2), (2, 0), (0, 2)])
def test_resumes_in_mid_epoch_exactly(toy: Toy, saved_with: int, resumed_with: int) -> None:
    whole, first, second = loader(toy, 0), loader(toy, saved_with), loader(toy, resumed_with)
    for each in (whole, first, second):
        each.sampler.set_epoch(3)  # pyright: ignore[reportAttributeAccessIssue]
    expected = fingerprints(whole)
    batches = iter(first)
    started = fingerprints([next(batches), next(batches)])
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == {"epoch": 3, "batches": 2}
    assert started + fingerprints(second) == expected
    assert fingerprints(second) == expected, "a position is taken up once"


def test_a_position_of_another_epoch_is_not_taken_up(toy: Toy) -> None:
    resumed, fresh = loader(toy, 0), loader(toy, 0)
    resumed.load_state_dict({"epoch": 0, "batches": 2})
    for each in (resumed, fresh):
        each.sampler.set_epoch(1)  # pyright: ignore[reportAttributeAccessIssue]
    assert fingerprints(resumed) == fingerprints(fresh)


class Witness(LightningModule):
    """Remembers what it was shown, and is killed when told to."""

    def __init__(self, killed_after: int | None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.killed_after = killed_after
        self.seen: list[tuple] = []

    def training_step(self, batch: VideoBatch, batch_idx: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch_idx, *fingerprints([batch])))
        return self.weight * batch.video.mean()

    def validation_step(self, batch: VideoBatch) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Kill(Callback):
    def on_train_batch_end(self, trainer: Trainer, pl_module: Witness, *_: Any) -> None:  # pyright: ignore
        if trainer.global_step == pl_module.killed_after:
            raise InterruptedError


Saved = Literal["after a step", "after an epoch", "after validation"]


def fit(
    toy: Toy,
    *,
    limit: dict[str, int],
    workers: int = 0,
    killed_after: int | None = None,
    keep: ModelCheckpoint | None = None,
    checkpoint: Path | None = None,
) -> list[tuple]:
    module = Toy(root=str(toy.root), batch_size=2, clip_length=4, num_workers=workers)
    witness = Witness(killed_after)
    trainer = Trainer(
        **limit,  # pyright: ignore[reportArgumentType]
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=keep is not None,
        num_sanity_val_steps=0,
        limit_val_batches=1,
        callbacks=[Kill(), *([keep] if keep is not None else [])],
    )
    try:
        trainer.fit(witness, module, ckpt_path=checkpoint)
    except InterruptedError:
        assert trainer.global_step == killed_after
    return witness.seen


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")
@pytest.mark.parametrize("limit", [{"max_epochs": 3}, {"max_steps": 3 * ONE_PASS - 1}], ids=["by epochs", "by steps"])
@pytest.mark.parametrize("saved", get_args(Saved))
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.thorough)])
def test_interrupted_training_sees_what_uninterrupted_training_sees(
    toy: Toy, tmp_path: Path, saved: Saved, limit: dict[str, int], workers: int
) -> None:
    """Checkpoints from the middle and from the very end of an epoch, where Lightning's count of epochs wavers."""
    when = {
        "after a step": {"every_n_train_steps": 1},
        "after an epoch": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
        "after validation": {"every_n_epochs": 1, "save_on_train_epoch_end": False},
    }[saved]

    def keep() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **when)  # pyright: ignore

    uninterrupted = fit(toy, limit=limit)
    fit(toy, limit=limit, workers=workers, killed_after=2 * ONE_PASS + 2, keep=keep())
    steps = (1, ONE_PASS, ONE_PASS + 2, 2 * ONE_PASS) if saved == "after a step" else (ONE_PASS, 2 * ONE_PASS)
    for step in steps:
        checkpoint = tmp_path / f"step={step}.ckpt"
        resumed = fit(toy, limit=limit, workers=workers, keep=keep(), checkpoint=checkpoint)
        assert resumed == uninterrupted[step:], f"resumed after step {step}"


class Notes(Callback):
    """Writes down which clips this process was shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, trainer: Trainer, phase: str, batch: VideoBatch) -> None:
        with (self.folder / f"{phase}-{trainer.current_epoch}-{trainer.global_rank}").open("a") as file:
            file.writelines(f"{clip}\n" for clip in batch.clip.tolist())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self.note(trainer, "train", batch)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self.note(trainer, "val", batch)


def train_in_two_processes(root: Path) -> None:
    module = Toy(root=str(root), batch_size=1, eval_batch_size=3, clip_length=4, num_workers=1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=2,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        callbacks=[Notes(root)],
        **quiet,  # pyright: ignore[reportArgumentType]
    )
    trainer.fit(Witness(None), module)


def test_two_real_processes_share_every_epoch_and_every_validation(tmp_path: Path) -> None:
    assert exit_codes(train_in_two_processes, (tmp_path,)) == [0]
    orders = []
    for phase, epoch in (("train", 0), ("train", 1), ("val", 0), ("val", 1)):
        first, second = ((tmp_path / f"{phase}-{epoch}-{rank}").read_text().split() for rank in range(2))
        assert len(first) == len(second) == 5
        assert sorted(map(int, first + second)) == list(range(10)), "each clip once, in one of the processes"
        orders.append(first)
    assert orders[0] != orders[1]
    assert orders[2] == orders[3]
