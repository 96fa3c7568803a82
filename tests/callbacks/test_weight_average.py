"""The mean of the weights is what validation sees, checkpoints show and training ends with."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks import RunCheckpoint, WeightAverage

DECAY, RATE, STEPS = 0.75, 1.0, 4


class Falling(LightningModule):
    """One weight that falls by 1 in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(10.0))

    def training_step(self, batch: Tensor) -> Tensor:
        return self.weight * batch.sum()

    def validation_step(self, batch: Tensor) -> None:
        self.log("weight", self.weight)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=RATE)


class Seen(Callback):
    """The weight at the end of validation, and while training goes on."""

    def __init__(self) -> None:
        self.validated, self.trained, self.ended = [], [], []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Falling) -> None:
        self.validated.append(pl_module.weight.item())

    def on_train_batch_start(self, trainer: Trainer, pl_module: Falling, *_) -> None:
        self.trained.append(pl_module.weight.item())

    def on_train_end(self, trainer: Trainer, pl_module: Falling) -> None:
        self.ended.append(pl_module.weight.item())


def trainer(folder: Path, *callbacks: Callback, epochs: int = 2) -> Trainer:
    options = {"logger": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    options["enable_checkpointing"] = any(isinstance(callback, RunCheckpoint) for callback in callbacks)
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_model_summary=False,
        **options,
    )


def means(weights: list[float]) -> list[float]:
    """After each step; the first weight is taken as it is."""
    found = weights[:1]
    for weight in weights[1:]:
        found.append(DECAY * found[-1] + (1 - DECAY) * weight)
    return found


@pytest.fixture
def ones() -> DataLoader:
    return DataLoader(torch.ones(STEPS // 2), batch_size=1)


def test_all_callbacks_see_the_mean_in_validation_and_training_goes_on_from_the_last_weight(tmp_path, ones):
    before, after, module = Seen(), Seen(), Falling()
    run = trainer(tmp_path, before, WeightAverage(decay=DECAY), after)
    run.fit(module, ones, ones)
    expected = means([9.0, 8.0, 7.0, 6.0])
    assert before.validated == after.validated == [expected[1], expected[3]]
    assert after.trained == [10.0, 9.0, 8.0, 7.0]
    assert before.ended == after.ended == [expected[3]]
    assert module.weight.item() == expected[3]


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_a_checkpoint_shows_the_mean_and_is_tested_without_a_warning(tmp_path, ones):
    class Save(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    trainer(tmp_path, WeightAverage(decay=DECAY), Save()).fit(Falling(), ones, ones)
    saved = torch.load(tmp_path / "3.ckpt", weights_only=True)
    assert saved["state_dict"]["weight"] == means([9.0, 8.0, 7.0])[-1]
    assert saved["current_model_state"]["weight"] == 7.0
    module = Falling()
    trainer(tmp_path, WeightAverage(decay=DECAY)).test(module, ones, ckpt_path=str(tmp_path / "3.ckpt"), verbose=False)
    assert module.weight == saved["state_dict"]["weight"]
    module = Falling()
    trainer(tmp_path, WeightAverage(decay=DECAY)).fit(module, ones, ones, ckpt_path=str(tmp_path / "3.ckpt"))
    assert module.weight.item() == means([9.0, 8.0, 7.0, 6.0])[-1]


@pytest.mark.parametrize("weights_only", [True, False])
def test_the_best_checkpoint_holds_what_was_scored(weights_only: bool, tmp_path, ones):
    seen = Seen()
    keep = RunCheckpoint(monitor="weight", best_weights_only=weights_only)
    trainer(tmp_path, WeightAverage(decay=DECAY), keep, seen).fit(Falling(), ones, ones)
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["state_dict"]["weight"] == seen.validated[-1] == min(seen.validated)
    assert ("optimizer_states" in best) == ("current_model_state" in best) == (not weights_only)


def test_a_run_that_has_ended_goes_on_from_its_last_weight_and_its_mean(tmp_path, ones):
    trainer(tmp_path, WeightAverage(decay=DECAY), RunCheckpoint()).fit(Falling(), ones, ones)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["current_model_state"]["weight"] == 6.0
    seen, module = Seen(), Falling()
    again = trainer(tmp_path, seen, WeightAverage(decay=DECAY), RunCheckpoint(), epochs=3)
    again.fit(module, ones, ones, ckpt_path=str(last))
    assert seen.trained == [6.0, 5.0]
    assert module.weight.item() == seen.ended[0] == means([9.0, 8.0, 7.0, 6.0, 5.0, 4.0])[-1]
