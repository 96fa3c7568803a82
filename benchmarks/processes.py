"""Several processes are one: the losses of a training by 1, 2 and 4 processes with the same batch in total.

    python -m benchmarks.processes [--steps 50 --processes 1 2 4 --models vdsm_frames vdsm glass]

Narrow networks on tiny drawn data, on the CPU by gloo, fp32. Every process draws the same noise, one draw for all clips
of a batch, because only noise that does not depend on who draws it can be compared. `greatest_difference` is relative,
the greatest of all steps, of the mean over the processes' losses.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import track
from torch import Tensor

from benchmarks import common
from tests.processes import exit_codes
from vdsm_glass.cli import main as vdsm_glass
from vdsm_glass.glass import gma, lma
from vdsm_glass.layers import quantizer

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
GOAL = 1e-4
CLIPS = 4
"""Of a batch in total."""
LOSSES = "VDSM_GLASS_LOSSES"
# Phases of GLASS begin within few steps. The learning rate is small, because with the recipe's one process that takes
# its clips in another order is as far from itself after three steps, 1e-3, as two processes are from one: Adam makes
# steps of full size from gradients that are rounding errors.
GLASS_OPTIONS = (
    *("--model.gma_steps", "6", "--model.gma_until", "30", "--model.actions_until", "40"),
    *("--model.learning_rate", "1e-5", "--model.lma_learning_rate", "1e-5"),
)
MODELS = {
    "vdsm_frames": ("vdsm/compact/pendulum_pretrain",),
    "vdsm": ("vdsm/compact/pendulum_sequence",),
    "glass": ("glass/w_sprites/joint", "smoke/narrow_glass"),
}


class TotalLoss(Callback):
    """Writes the mean of the processes' losses, one number a step, to the file that the environment names."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(float(trainer.strategy.reduce(outputs["loss"], reduce_op="mean")))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            Path(os.environ[LOSSES]).write_text(json.dumps(self.losses), encoding="utf-8")


def one_noise_for_all() -> None:
    """Makes noise a function of how much was drawn before, the same for every clip and in every process."""
    drawn = count()

    def next_generator() -> torch.Generator:
        return torch.Generator().manual_seed(next(drawn))

    def rsample(self: torch.distributions.Normal, sample_shape: Any = ()) -> Tensor:
        shape = list(self._extended_shape(sample_shape))
        shape[-2] = 1  # of clips: shapes are (b, size), or of poses (t, b, size)
        return self.loc + self.scale * torch.randn(shape, generator=next_generator())

    torch.distributions.Normal.rsample = rsample  # pyright: ignore[reportAttributeAccessIssue]
    rand, randn, spread = torch.rand, torch.randn, quantizer.spread_seeds
    for module, name, function in ((gma, "rand", rand), (lma, "randn", randn)):
        # What GLASS draws for n pairs of frames, (n, ...), is one draw.
        def one(n: int, *shape: int, function: Callable[..., Tensor] = function, **_: Any) -> Tensor:
            return function(1, *shape, generator=next_generator()).expand(n, *shape)

        vars(module)["torch"] = _Instead(vars(module)["torch"], {name: one})

    def spread_seeds(points: Tensor, k: int) -> Tensor:
        # Their order is that of the processes.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return spread(points[points[:, 0].argsort()], k)

    quantizer.spread_seeds = spread_seeds


class _Instead:
    """A module with some other functions."""

    def __init__(self, module: Any, functions: dict[str, Any]) -> None:
        self.module = module
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


def train(arguments: list[str], losses: str) -> None:
    """`vdsm-glass fit ...` with that noise, in a process that it may keep."""
    os.environ[LOSSES] = losses
    one_noise_for_all()
    sys.exit(vdsm_glass(arguments))


def losses_of(
    model: str, *more: str, processes: int, steps: int, folder: Path, pretrained: Path | None = None
) -> list[float]:
    """The losses of `steps` steps.

    Args: model, a key of `MODELS`; more, options of `fit`; folder, kept between calls, holds data, runs and losses.
    """
    recipe, *narrow = MODELS[model]
    over = folder / "total_loss.yaml"
    over.write_text("trainer: {callbacks+: [{class_path: benchmarks.processes.TotalLoss}]}\n", encoding="utf-8")
    name, file = f"{model}_{processes}", folder / f"{model}_{processes}.json"
    strategy = "ddp_fork_find_unused_parameters_true" if model == "glass" else "ddp_fork"
    arguments = ["fit"]
    for config in (recipe, *narrow, "smoke/run"):
        arguments += ["--config", str(EXPERIMENTS / f"{config}.yaml")]
    arguments += [
        *("--config", str(over), "--run.dir", str(folder / "runs"), "--run.name", name),
        *("--data.root", str(folder / "data"), "--data.batch_size", str(CLIPS // processes)),
        *("--data.batches_per_epoch", str(steps), "--trainer.limit_train_batches", str(steps)),
        *("--trainer.limit_val_batches", "0", "--checkpoint.monitor", "null"),
        *("--trainer.devices", str(processes), "--trainer.strategy", strategy if processes > 1 else "auto"),
        *("--trainer.sync_batchnorm", "true"),
        *(GLASS_OPTIONS if model == "glass" else ()),
        *(("--model.pretrained", str(pretrained)) if pretrained else ()),
        *more,
    ]
    [code] = exit_codes(train, (arguments, str(file)))
    if code:
        raise RuntimeError(f"{name} ended with {code}")
    return json.loads(file.read_text(encoding="utf-8"))


def greatest_difference(losses: Sequence[float], expected: Sequence[float]) -> tuple[float, int]:
    """The greatest relative difference of a step, and which step that is."""
    return max((abs(a - b) / abs(b), step) for step, (a, b) in enumerate(zip(losses, expected, strict=True)))


def main() -> None:
    """Trains all, and writes what was found."""
    parser = argparse.ArgumentParser(description="Several processes are one.")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="the first is compared with")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "vdsm" in options.models:
            losses_of("vdsm_frames", processes=1, steps=2, folder=folder)
        pretrained = {"vdsm": folder / "runs" / "vdsm_frames_1" / "version_0" / "checkpoints" / "last.ckpt"}
        expected: dict[str, list[float]] = {}
        for model, processes in track([(model, n) for model in options.models for n in options.processes]):
            losses = losses_of(
                model, processes=processes, steps=options.steps, folder=folder, pretrained=pretrained.get(model)
            )
            row = {"model": model, "processes": processes, "first_loss": losses[0], "last_loss": losses[-1]}
            difference = greatest_difference(losses, expected.setdefault(model, losses))
            results.append(row | {"greatest_difference": difference[0], "at_step": difference[1], "goal": GOAL})
            print(results[-1])
    settings = {"steps": options.steps, "clips": CLIPS, "backend": "gloo"}
    common.show(results, title="Several processes are one")
    common.write_results(
        common.RESULTS / "processes-cpu.json", device=torch.device("cpu"), settings=settings, results=results
    )
    if any(row["greatest_difference"] > GOAL for row in results):
        sys.exit("some losses differ by more than the goal")


if __name__ == "__main__":
    main()
