"""Which checkpoints a run keeps, and when they are written."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks import RunCheckpoint
from data_modules.common.errors import UserError

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


class Scored(LightningModule):
    """Logs the scores it is given, one an epoch."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.layer, self.scores = torch.nn.Linear(1, 1), scores

    def training_step(self, batch: Tensor) -> Tensor:
        return self.layer(batch).square().mean()

    def validation_step(self, batch: Tensor) -> None:
        self.log("score", self.scores[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Writes(Callback):
    """Remembers after which step last.ckpt and best.ckpt were written."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {"last": [], "best": []}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        save: Callable = trainer.save_checkpoint

        def noted(path: str, **options: object) -> None:
            self.steps[Path(path).stem].append(trainer.global_step)
            save(path, **options)

        trainer.save_checkpoint = noted  # pyright: ignore[reportAttributeAccessIssue]


def train(
    folder: Path, checkpoint: RunCheckpoint, scores: list[float], more: Callback | None = None, **options
) -> dict[str, list[int]]:
    """Four steps an epoch, one epoch a score; returns when what was written."""
    data = DataLoader(torch.ones(4, 1), batch_size=1)  # pyright: ignore[reportArgumentType]
    writes = Writes()
    trainer = Trainer(
        default_root_dir=folder,
        callbacks=[checkpoint, writes, *([more] if more else [])],
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": len(scores), **options},
    )
    trainer.fit(Scored(scores), data, data)
    return writes.steps


@pytest.mark.parametrize(("mode", "best"), [("min", [4, 12]), ("max", [4, 8, 16])])
def test_best_is_written_when_the_score_was_never_so_good(mode, best: list[int], tmp_path: Path):
    checkpoint = RunCheckpoint(monitor="score", mode=mode)
    assert train(tmp_path, checkpoint, [2.0, 3.0, 1.0, 4.0])["best"] == best
    assert checkpoint.best_score == {"min": 1.0, "max": 4.0}[mode]
    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["global_step"] == best[-1]
    assert "optimizer_states" not in saved


def test_a_score_that_is_nan_is_never_best(tmp_path: Path):
    assert train(tmp_path, RunCheckpoint(monitor="score"), [float("nan"), 3.0, float("nan")])["best"] == [8]


def test_last_is_written_before_the_first_step_after_so_many_and_at_the_end(tmp_path: Path):
    assert train(tmp_path, RunCheckpoint(every_n_train_steps=3), [1.0, 1.0])["last"] == [0, 3, 6, 8]


def test_between_the_last_step_of_an_epoch_and_its_validation_nothing_is_written(tmp_path: Path):
    order: list[str] = []

    class Order(RunCheckpoint):
        def save_last(self, trainer: Trainer, *, between_epochs: bool = False) -> None:
            order.append(f"save {trainer.global_step}")
            super().save_last(trainer, between_epochs=between_epochs)

        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            order.append("validated")
            super().on_validation_end(trainer, pl_module)

    train(tmp_path, Order(every_n_train_steps=2), [1.0], val_check_interval=2)
    assert order == ["save 0", "validated", "save 2", "validated", "save 4", "save 4"]


def test_a_large_model_is_written_by_the_clock_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("callbacks.checkpoint.time", SimpleNamespace(monotonic=lambda: clock.now))

    class Slow(Callback):
        def on_before_zero_grad(self, *args: object) -> None:
            clock.now += 50.0

    # Due after 120 s: every third step.
    assert train(tmp_path, RunCheckpoint(every_minutes=2), [1.0] * 2, more=Slow())["last"] == [0, 3, 6, 8]


def test_by_default_a_short_run_is_written_at_its_start_and_end(tmp_path: Path):
    assert train(tmp_path, RunCheckpoint(), [1.0] * 3)["last"] == [0, 12]


def test_a_metric_that_is_never_logged_is_named_with_the_nearest(tmp_path: Path):
    with pytest.raises(
        UserError, match=r"checkpoint.monitor is 'scores', .*did you mean 'score'\?; logged were: score"
    ):
        train(tmp_path, RunCheckpoint(monitor="scores"), [1.0, 1.0])


def test_an_exception_leaves_the_last_checkpoint_alone(tmp_path: Path):
    with pytest.raises(IndexError):
        # The second epoch has no score.
        train(tmp_path, RunCheckpoint(every_n_train_steps=3), [1.0], max_epochs=2)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6


def test_what_a_killed_process_had_half_written_is_removed(tmp_path: Path):
    leftover = tmp_path / "checkpoints" / ".last.ckpt.123.tmp"
    leftover.parent.mkdir()
    leftover.write_bytes(b"PK")
    train(tmp_path, RunCheckpoint(), [1.0])
    assert [file.name for file in leftover.parent.iterdir()] == ["last.ckpt"]


def test_a_resumed_run_does_not_overwrite_a_better_checkpoint():
    checkpoint = RunCheckpoint(monitor="score")
    checkpoint.load_state_dict({"best_score": 0.5, "best_model_path": "best.ckpt"})
    assert checkpoint.state_dict() == {"best_score": 0.5, "best_model_path": "best.ckpt"}
