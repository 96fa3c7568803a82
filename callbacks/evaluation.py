"""What a model generates, scored against real clips: any metrics, under any of the model's protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from callbacks.drawing import scaled, spread, upload
from callbacks.results import Scoring, protocol
from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.errors import UserError
from vdsm_glass.metrics.protocol import NotComputed, Result

if TYPE_CHECKING:
    from vdsm_glass.generate.protocols import Generation
    from vdsm_glass.metrics.suite import Suite

COUNTED = "/first_frame_counted"
Split = Literal["val", "test"]


class Evaluation(Scoring):
    """Generates clips from those of the test split and logs `test/reconstruction/psnr` and so on, and records them.

    A metric that cannot be computed, because its weights are not there or clips are too short, says why; the rest go
    on. Where a model copies given frames into its clips, numbers leave them out, and those under
    `.../first_frame_counted` have them in, as papers do. All processes share the clips, each clip once.

    Pictures: `pictures/evaluation_<protocol>.png`, real clips above generated ones, and `per_position.png`.

    Args:
        metrics: names of `vdsm_glass.metrics.registry.METRICS`.
        protocols: names that `vdsm_glass.generate.protocols` knows for the model.
        weights: files of others' weights by metric; the cache has them by default.
        stand_ins: random weights instead, whose numbers have names of their own.
        max_clips: so many of the split, evenly spread; all by default.
        batch_size: clips generated at once; a protocol that takes identities from other clips takes them from these.
        in_validation: also after every validation.
        examples: clips in a picture.
        seed: of what is drawn from a prior.
    Raises: UserError before anything is generated, a metric or protocol that there is none of.
    """

    def __init__(
        self,
        metrics: Sequence[str] = ("mse", "psnr", "ssim", "lpips_vgg", "fid", "fvd"),
        protocols: Sequence[str] = ("reconstruction",),
        weights: dict[str, Path] | None = None,
        stand_ins: bool = False,
        max_clips: int | None = None,
        batch_size: int = 16,
        in_validation: bool = False,
        examples: int = 4,
        seed: int = 0,
    ) -> None:
        self.metrics = tuple(metrics)
        self.protocols = tuple(protocols)
        self.weights = dict(weights or {})
        self.stand_ins = stand_ins
        self.max_clips = max_clips
        self.batch_size = batch_size
        self.in_validation = in_validation
        self.examples = examples
        self.seed = seed
        self._found: tuple[list[Result], list[NotComputed]] = ([], [])
        self._clips = 0

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.in_validation and not trainer.sanity_checking:
            self.evaluate(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluate(trainer, pl_module, "test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        results, not_computed = self._found
        self.record(trainer, results, not_computed, clips=self._clips)

    @torch.no_grad()
    def evaluate(self, trainer: Trainer, pl_module: LightningModule, split: Split) -> None:
        """Generates, scores, logs and draws; called by every process."""
        from vdsm_glass.generate.protocols import generation

        ways = {name: generation(pl_module.net, name) for name in self.protocols}
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        dataset = data.evaluation_dataset(split)
        chosen = spread(np.arange(len(dataset)), self.max_clips or len(dataset))
        mine = chosen[trainer.global_rank :: trainer.world_size].tolist()
        self._clips = len(chosen)
        if len(chosen) < trainer.world_size:
            raise UserError(
                f"{trainer.world_size} processes share {len(chosen)} clips of the {split} split; evaluate in fewer"
            )
        self._found = ([], [])
        with progress(len(mine) * len(ways), shown=trainer.is_global_zero) as step:
            for name, way in ways.items():
                results, gaps = self.of_protocol(trainer, pl_module, dataset, mine, name, way, step)
                self._found[0].extend(results)
                self._found[1].extend(gaps)
        pl_module.log_dict({f"{split}/{each.name}": each.value for each in self._found[0]}, sync_dist=True)
        self.draw_positions(trainer)

    def of_protocol(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        dataset: Any,
        mine: list[int],
        name: str,
        way: Generation,
        step: Any,
    ) -> tuple[list[Result], list[NotComputed]]:
        """The numbers of one protocol, of this process's clips and all others'."""
        generator = torch.Generator(device=pl_module.device).manual_seed(self.seed + trainer.global_rank)
        suites: dict[int, Suite] = {}
        for first in range(0, len(mine), self.batch_size):
            batch: VideoBatch = dataset[mine[first : first + self.batch_size]].to(pl_module.device).decoded()
            drawn = way.make(pl_module.net, batch.video, generator).clamp(0, 1)
            if not suites:
                suites = self.suites(name, way, frames=batch.video.shape[1], device=pl_module.device)
                self.draw_examples(trainer, name, batch.video, drawn)
            for given, suite in suites.items():
                suite.update(drawn[:, given:], batch.video[:, given:])
            step(len(batch))
        results, gaps = [], []
        for given, suite in suites.items():
            on = protocol(trainer, clips=self._clips, generated_by=f"{name}: {way.about}", given_frames=given)
            more, missing = suite.compute(on)
            results += more
            # What is missing is missing under both conventions.
            gaps += missing if given == way.given else []
        return results, gaps

    def suites(self, name: str, way: Generation, *, frames: int, device: torch.device) -> dict[int, Suite]:
        """The metrics by how many leading frames are left out: those given, and none as papers have it."""
        from vdsm_glass.metrics.suite import Suite

        return {
            given: Suite(
                self.metrics,
                paired=way.paired,
                frames=frames - given,
                weights=self.weights,
                stand_ins=self.stand_ins,
                prefix=f"{name}{'' if given == way.given else COUNTED}/",
                device=device,
            )
            for given in sorted({way.given, 0}, reverse=True)
        }

    def draw_examples(self, trainer: Trainer, name: str, real: Tensor, drawn: Tensor) -> None:
        """`pictures/evaluation_<name>.png`: each real clip above what was generated of it."""
        from vdsm_glass.pictures import strip, write_png

        if not trainer.is_global_zero or not self.examples:
            return
        t = min(real.shape[1], drawn.shape[1])
        count = min(self.examples, len(real))
        pairs = torch.stack([real[:count, :t], drawn[:count, :t]], dim=1).flatten(0, 1)
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        send(trainer, [write_png(strip(scaled(pairs.cpu()), frames=8), folder / f"evaluation_{name}.png")])

    def draw_positions(self, trainer: Trainer) -> None:
        """`pictures/per_position.png`: how each score changes along the clips."""
        from vdsm_glass.pictures import draw_curves

        curves = {
            each.name: each.per_position for each in self._found[0] if each.per_position and COUNTED not in each.name
        }
        if not trainer.is_global_zero or not curves:
            return
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        send(trainer, [draw_curves(curves, folder / "per_position.png", across="frame")])


def send(trainer: Trainer, files: list[Path]) -> None:
    """Pictures to W&B, where a run logs there."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            upload(logger, files, prefix="evaluation")


@contextmanager
def progress(clips: int, *, shown: bool) -> Iterator[Any]:
    """A bar that goes on by as many clips as what is yielded is called with."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=not shown) as bar:
        task = bar.add_task("scoring", total=clips)
        yield lambda done: bar.advance(task, done)
