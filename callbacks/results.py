"""The results of a test, to which several callbacks add theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from weakref import WeakKeyDictionary

from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import VideoDataModule
from vdsm_glass.metrics.results import NotComputed, Protocol, Result, ResultSet
from vdsm_glass.registry import model_of

REBUILT = {
    "reconstruction": ("psnr", "miou_re", "miou_re_thresholded"),
    "teacher_forced": ("miou_re_teacher_forced", "miou_re_teacher_forced_thresholded"),
}
"""What models log under `test/` of clips that they have rebuilt, by protocol; all else is measured on real clips."""

_RESULTS: WeakKeyDictionary[Trainer, ResultSet] = WeakKeyDictionary()


class Scoring(Callback):
    """A callback that measures something at the end of a test.

    What it records is in `<run>/results.json` and `results.md` at once, beside what others have recorded; the first of
    them to be torn down prints the table. The first process alone writes and prints.
    """

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the results of a test that broke off."""
        _RESULTS.pop(trainer, None)

    def record(self, trainer: Trainer, results: Iterable[Result], not_computed: Iterable[NotComputed] = ()) -> None:
        """Enters results, and all that the model has logged under `test/`."""
        found = _RESULTS.setdefault(trainer, ResultSet())
        logged = trainer.callback_metrics.items()
        measured = {name.removeprefix("test/"): float(value) for name, value in logged if name.startswith("test/")}
        values = {name: value for name, value in measured.items() if name not in found.results}
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        # `limit_test_batches` may have let through fewer than all clips.
        most = sum(trainer.num_test_batches) * data.eval_batch_size * trainer.world_size
        clips = int(min(len(data.evaluation_dataset("test")), most))
        model = model_of(trainer.lightning_module)
        rebuilt: list[Result] = []
        for way, names in REBUILT.items():
            if how := model.protocols.get(way) if model else None:
                on = protocol(trainer, clips=clips, generated_by=how.about, given_frames=how.given)
                rebuilt += named({name: values.pop(name) for name in names if name in values}, on)
        found.add([*named(values, protocol(trainer, clips=clips)), *rebuilt])
        found.add(results, not_computed)
        if trainer.is_global_zero:
            found.write(Path(trainer.default_root_dir))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Shows the table, once."""
        found = _RESULTS.pop(trainer, None)
        if found is not None and trainer.is_global_zero:
            from rich import get_console

            # The one that Lightning's progress bar is on, which may not have ended yet.
            found.show(get_console(), title=f"test split, {trainer.default_root_dir}")


def named(values: Mapping[str, float], on: Protocol) -> list[Result]:
    """Results that share a protocol."""
    return [Result(name=name, value=value, protocol=on) for name, value in values.items()]


def protocol(trainer: Trainer, *, clips: int, generated_by: str = "", given_frames: int = 0) -> Protocol:
    """The test split of the trainer's data, and how the other side was generated."""
    data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    return Protocol(
        split="test",
        clips=clips,
        frames=data.eval_clip_length,
        height=data.height,
        width=data.width,
        stride=data.eval_stride,
        generated_by=generated_by,
        given_frames=given_frames,
    )
