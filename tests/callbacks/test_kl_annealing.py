"""What weighs each term of Eq. (4) in which epoch of a real fit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks import KLAnnealing
from data_modules.batch import VideoBatch
from tests.vdsm_glass.play.small import SIZES
from vdsm_glass.schedules import Schedule
from vdsm_glass.vdsm import VDSMSequence

EPOCHS = 4
KNOTS = {"lambda_z": (2.0, 8.0), "lambda_s": (0.3, 0.9), "lambda_d": (5.0, 50.0), "tau_s": (1.0, 4.0)}
APPLIED = {"lambda_z": "kl_z", "lambda_s": "kl_s", "lambda_d": "kl_d", "tau_s": "tau_s"}


class Watched(VDSMSequence):
    """Stage 2 from random frames; notes what each step was weighed with."""

    def __init__(self) -> None:
        super().__init__(SIZES)
        self.seen: list[dict[str, float]] = []

    def on_fit_start(self) -> None:
        """There is no stage 1 to read."""

    def training_step(self, batch: VideoBatch) -> Tensor:
        loss = super().training_step(batch)
        weighed = {name: weight * self.last_terms[name] for name, weight in asdict(self.weights).items()}
        torch.testing.assert_close(loss.detach(), sum(weighed.values()))
        self.seen.append(asdict(self.weights) | {"tau_s": self.frames.tau_s.item()})
        return loss


class Logged(Callback):
    """Notes what is logged as each epoch's schedules."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Watched) -> None:
        logged = {name: trainer.callback_metrics[f"schedule/{name}"].item() for name in APPLIED.values()}
        self.seen.append(logged)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`", "ignore:The '.*' does not have many workers")
def test_every_epoch_is_trained_with_its_own_value_of_every_schedule(tmp_path: Path):
    schedules = {name: Schedule(knots=[[0, first], [1, last]], shape="linear") for name, (first, last) in KNOTS.items()}
    module, logged = Watched(), Logged()
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[KLAnnealing(**schedules), logged],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches: Any = [VideoBatch.unlabelled(torch.rand(2, 3, 3, 16, 16))] * 2
    trainer.fit(module, DataLoader(batches, batch_size=None))
    assert len(module.seen) == 2 * EPOCHS
    for epoch in range(EPOCHS):
        share = epoch / (EPOCHS - 1)
        wanted = {APPLIED[name]: first + (last - first) * share for name, (first, last) in KNOTS.items()}
        for step in module.seen[2 * epoch : 2 * epoch + 2]:
            assert step == pytest.approx(wanted | {"reconstruction": 1.0})
        assert logged.seen[epoch] == pytest.approx(wanted)


def test_a_weight_without_a_schedule_stays_one_and_the_temperature_as_it_is():
    module = Watched()
    module.frames.tau_s.fill_(7.0)
    KLAnnealing(lambda_d=Schedule(knots=[[0, 0.5]])).on_train_epoch_start(Trainer(max_epochs=3, logger=False), module)
    assert asdict(module.weights) == {"reconstruction": 1.0, "kl_z": 1.0, "kl_s": 1.0, "kl_d": 0.5}
    assert module.frames.tau_s.item() == 7.0
