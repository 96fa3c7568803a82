"""A model and a dataset that train in a second, for what concerns runs: folders, checkpoints, resuming, stopping."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from data_modules.loading.sampler import ClipLoader, ClipSampler
from tests.processes import exit_codes
from vdsm_glass.cli import main

# "SIGKILL@13": what `Interrupt` sends its own process in the middle of that step; "NAN@13": how `Noisy` spoils it.
SIGNAL = "VDSM_GLASS_TEST_SIGNAL"


class Interrupt(Callback):
    """Sends the signal that the environment asks for, after the step has drawn its noise and before it learns."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        name, _, step = os.environ.get(SIGNAL, "").partition("@")
        if name.startswith("SIG") and trainer.global_step == int(step) and trainer.is_global_zero:
            for each in name.split(","):
                os.kill(os.getpid(), getattr(signal, each))


class Noisy(LightningModule):
    """A linear layer on noisy inputs: a step that draws one number more or less changes all that follow."""

    def __init__(self, width: int = 3, noise: float = 1.0, learning_rate: float = 0.1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)
        self.noise, self.learning_rate = noise, learning_rate

    def training_step(self, batch: Tensor) -> Tensor:
        loss = self.layer(batch + self.noise * torch.randn_like(batch)).square().mean()
        if os.environ.get(SIGNAL) == f"NAN@{self.global_step}" and self.global_rank == self.trainer.world_size - 1:
            loss = loss * float("nan")
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Tensor) -> None:
        self.log("val_loss", self.layer(batch + torch.randn_like(batch)).square().mean(), sync_dist=True)

    def test_step(self, batch: Tensor) -> None:
        self.log("test_loss", self.layer(batch).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class Rows(Dataset):
    """Rows by number, or by the keys of our own sampler."""

    def __init__(self, count: int) -> None:
        self.rows = torch.arange(count * 3.0).reshape(count, 3) / count

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | list[tuple[int, int]]) -> Tensor:
        return self.rows[key] if isinstance(key, int) else self.rows[[row for row, _ in key]]


class Numbers(LightningDataModule):
    """`count` rows of three numbers, shuffled, from a loader whose position can be saved.

    Args: ours, our own loader, whose order follows from seed and epoch; else torchdata's, which draws it.
    """

    def __init__(self, count: int = 40, batch_size: int = 4, num_workers: int = 0, ours: bool = False) -> None:
        super().__init__()
        self.rows = Rows(count)
        self.batch_size, self.num_workers, self.ours = batch_size, num_workers, ours

    def train_dataloader(self) -> DataLoader:
        if self.ours and self.trainer is not None:
            world_size, rank = self.trainer.world_size, self.trainer.global_rank
            sampler = ClipSampler(self.rows, batch_size=self.batch_size, world_size=world_size, rank=rank)
            return ClipLoader(dataset=self.rows, sampler=sampler, batch_size=None, num_workers=self.num_workers)
        return StatefulDataLoader(self.rows, batch_size=self.batch_size, shuffle=True, num_workers=self.num_workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.rows, batch_size=self.batch_size)

    test_dataloader = val_dataloader


RECIPE = """\
model: {class_path: tests.runs.Noisy}
data: {class_path: tests.runs.Numbers}
trainer:
  accelerator: cpu
  max_epochs: 3
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  callbacks: [{class_path: tests.runs.Interrupt}]
checkpoint: {monitor: val_loss}
"""


def write_recipe(folder: Path) -> Path:
    """The toy's recipe as `<folder>/experiments/toy.yaml`."""
    file = folder / "experiments" / "toy.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(RECIPE, encoding="utf-8")
    return file


def run_alone(*arguments: str, environment: dict[str, str] | None = None) -> int:
    """The exit code of `vdsm-glass ...` in a process of its own; minus the signal's number if one killed it."""
    return exit_codes(_run, (list(arguments), environment or {}))[0]


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.exit(main(arguments))
