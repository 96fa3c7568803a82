"""What a model generates, scored against real clips: any metrics, under any of the model's protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from einops import rearrange
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from torch import Tensor

from callbacks.drawing import scaled, spread, upload
from callbacks.results import Scoring, protocol
from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.loading.clips import ClipDataset
from vdsm_glass.metrics.registry import DEFAULT_METRICS, check_names
from vdsm_glass.metrics.results import NotComputed, Result
from vdsm_glass.registry import model_of

if TYPE_CHECKING:
    from vdsm_glass.generate.vocabulary import GenerationProtocol
    from vdsm_glass.metrics.suite import Suite

COUNTED = "/first_frame_counted"
Split = Literal["val", "test"]


class Evaluation(Scoring):
    """Generates clips from those of the test split and logs `test/reconstruction/psnr` and so on, and records them.

    A metric that cannot be computed, because its weights are not there or clips are too short, says why; the rest go
    on. Where a model copies given frames into its clips, numbers leave them out, and those under
    `.../first_frame_counted` have them in, as papers do. All processes share the clips, each clip once.

    Pictures: `pictures/evaluation_<protocol>.png` and `.gif`, real clips above generated ones, and `per_position.png`.
    A model that has not registered (`vdsm_glass.registry`) is left alone.

    Args:
        metrics: names of `vdsm_glass.metrics.registry.METRICS`; none: nothing is generated.
        protocols: names of the model's protocols (`vdsm_glass/generate/`).
        weights: files of others' weights by metric; the cache has them by default.
        stand_ins: random weights instead, whose numbers have names of their own.
        max_clips: so many of the split, evenly spread; all by default.
        batch_size: clips generated at once.
        in_validation: also after every validation.
        examples: clips in a picture.
        seed: of what is drawn from a prior, together with the number of the process.
        leave_out: leading frames that are not counted even where they were not given, so that models that were given
            them can be compared with models that were not.
    Raises: UserError before the test begins, a metric or protocol that there is none of.
    """

    def __init__(
        self,
        metrics: Sequence[str] = DEFAULT_METRICS,
        protocols: Sequence[str] = ("reconstruction",),
        weights: dict[str, Path] | None = None,
        stand_ins: bool = False,
        max_clips: int | None = None,
        batch_size: int = 16,
        in_validation: bool = False,
        examples: int = 4,
        seed: int = 0,
        leave_out: int = 0,
    ) -> None:
        self.leave_out = leave_out
        self.metrics, self.protocols = tuple(metrics), tuple(protocols)
        self.weights, self.stand_ins = dict(weights or {}), stand_ins
        self.max_clips, self.batch_size, self.examples, self.seed = max_clips, batch_size, examples, seed
        self.in_validation = in_validation
        self._found: tuple[list[Result], list[NotComputed]] = ([], [])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Checks the names, so that a wrong one is an error before the test and not after it."""
        if stage == "test" or self.in_validation:
            check_names([*self.metrics, *self.weights])
            self.ways(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.in_validation and not trainer.sanity_checking:
            self.evaluate(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluate(trainer, pl_module, "test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.ways(pl_module):
            self.record(trainer, *self._found)

    def ways(self, pl_module: LightningModule) -> dict[str, GenerationProtocol]:
        """The model's protocols by name; none if it is not registered.  Raises: UserError, it has no such protocol."""
        model = model_of(pl_module)
        if model is None or not model.protocols or not self.metrics:
            return {}
        return {name: model.protocol(name) for name in self.protocols}

    @torch.no_grad()
    def evaluate(self, trainer: Trainer, pl_module: LightningModule, split: Split) -> None:
        """Generates, scores, logs and draws; called by every process."""
        self._found = ([], [])
        if not (ways := self.ways(pl_module)):
            return
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        dataset = data.evaluation_dataset(split)
        chosen = spread(np.arange(len(dataset)), self.max_clips or len(dataset))
        if len(chosen) < trainer.world_size:
            raise UserError(
                f"{trainer.world_size} processes share {len(chosen)} clips of the {split} split; evaluate in fewer"
            )
        mine = len(chosen[trainer.global_rank :: trainer.world_size])
        with progress(trainer, mine * len(ways)) as advance:
            for name, way in ways.items():
                if lacks := way.lacks(model_of(pl_module)):
                    self._found[1].append(NotComputed(name, lacks))
                    continue
                results, gaps = self.of_protocol(trainer, pl_module, dataset, chosen, name, way, advance)
                self._found[0].extend(results)
                self._found[1].extend(gaps)
        pl_module.log_dict({f"{split}/{each.name}": each.value for each in self._found[0]}, sync_dist=True)
        self.draw_positions(trainer)

    def of_protocol(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        dataset: ClipDataset,
        chosen: np.ndarray,
        name: str,
        way: GenerationProtocol,
        advance: Callable[[int], object],
    ) -> tuple[list[Result], list[NotComputed]]:
        """The results of one protocol, over the clips of all processes."""
        from vdsm_glass.metrics.clip_choice import partners

        model = model_of(pl_module)
        generator = torch.Generator(device=pl_module.device).manual_seed(self.seed + trainer.global_rank)
        # Partners do not depend on the number of processes.
        sides = (chosen, chosen[partners(len(chosen))])
        mine, others = (side[trainer.global_rank :: trainer.world_size].tolist() for side in sides)
        suites: dict[int, Suite] = {}
        for first in range(0, len(mine), self.batch_size):
            part = slice(first, first + self.batch_size)
            batch = dataset[mine[part]].to(pl_module.device).decoded()
            other = dataset[others[part]].to(pl_module.device).decoded() if way.needs_others else batch
            video = batch.video
            given_to = (batch, other) if way.needs_labels else (video, other.video)
            # What goes on for longer than a real clip is scored by its end, where errors have added up.
            drawn = way.make(model, *given_to, generator)[:, -video.shape[1] :].clamp(0, 1)
            if not suites:
                suites = self.suites(name, way, frames=video.shape[1], device=pl_module.device)
                self.draw_examples(trainer, name, video, drawn)
            for given, suite in suites.items():
                suite.update(drawn[:, given:], video[:, given:])
            advance(len(video))
        results, gaps = [], []
        for given, suite in suites.items():
            about = f"{name}: {way.about}"
            more, missing = suite.compute(protocol(trainer, clips=len(chosen), generated_by=about, given_frames=given))
            results += more
            # What is missing is missing under both conventions.
            gaps += missing if given == self.uncounted(way) else []
        return results, gaps

    def suites(self, name: str, way: GenerationProtocol, *, frames: int, device: torch.device) -> dict[int, Suite]:
        """The metrics by how many leading frames are left out: those given, and none as papers have it."""
        from vdsm_glass.metrics.suite import Suite

        return {
            given: Suite(
                self.metrics,
                paired=way.paired,
                frames=frames - given,
                weights=self.weights,
                stand_ins=self.stand_ins,
                prefix=f"{name}{'' if given == self.uncounted(way) else COUNTED}/",
                device=device,
            )
            for given in sorted({self.uncounted(way), 0}, reverse=True)
        }

    def uncounted(self, way: GenerationProtocol) -> int:
        """Leading frames of a clip that its numbers leave out."""
        return max(way.given, self.leave_out)

    def draw_examples(self, trainer: Trainer, name: str, real: Tensor, drawn: Tensor) -> None:
        """`pictures/evaluation_<name>.png` and `.gif`: each real clip above what was generated of it."""
        from vdsm_glass.media import save
        from vdsm_glass.pictures import strip, write_png

        if not trainer.is_global_zero or not self.examples:
            return
        sides = torch.stack([real[: self.examples], drawn[: self.examples]]).cpu()
        still = strip(scaled(rearrange(sides, "side b ... -> (b side) ...")), frames=8)
        file = Path(trainer.default_root_dir) / "pictures" / f"evaluation_{name}"
        files = [write_png(still, file.with_suffix(".png")), save(sides, file.with_suffix(".gif"))]
        upload(trainer, files, prefix="evaluation")

    def draw_positions(self, trainer: Trainer) -> None:
        """`pictures/per_position.png`: how each score changes along the clips, whose first frame is 1."""
        from vdsm_glass.pictures import draw_curves

        curves = {each.name: each for each in self._found[0] if each.per_position and COUNTED not in each.name}
        if not trainer.is_global_zero or not curves:
            return
        values = {name: each.per_position or () for name, each in curves.items()}
        firsts = {name: each.protocol.given_frames + 1 for name, each in curves.items()}
        positions = {name: range(firsts[name], firsts[name] + len(values[name])) for name in curves}
        file = Path(trainer.default_root_dir) / "pictures" / "per_position.png"
        upload(trainer, [draw_curves(values, file, across="frame", positions=positions)], prefix="evaluation")


@contextmanager
def progress(trainer: Trainer, clips: int) -> Iterator[Callable[[int], object]]:
    """Yields a function to call with the number of clips just done; without a trainer's bar it shows nothing."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, RichProgressBar) and (shown := bar.progress) is not None:
        # rich allows one live display at a time.
        task = shown.add_task("Scoring", total=clips)
        try:
            yield lambda done: shown.update(task, advance=done, refresh=True)
        finally:
            shown.remove_task(task)
    elif isinstance(bar, TQDMProgressBar) and not bar.is_disabled:
        from tqdm import tqdm

        with tqdm(total=clips, desc="Scoring", leave=False) as line:
            yield line.update
    else:
        yield lambda _: None
