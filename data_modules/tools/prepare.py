"""Building a store ahead of training, with a progress bar, and saying what is in it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from data_modules.base import VideoDataModule
from data_modules.store.build import open_or_build
from data_modules.store.format import SPLITS, Split
from data_modules.store.reader import StoreSplit

ALWAYS_THERE = ("video", "length", "identity", "action", "name")


@dataclass(frozen=True)
class SplitSummary:
    """What one split of a store holds; `size` (height, width), `labels` beside identity and action, `bytes` on disk,
    `skipped` clips by reason."""

    split: Split
    clips: int
    frames: int
    size: tuple[int, int]
    labels: list[str]
    bytes: int
    identities: int
    actions: int
    skipped: dict[str, int]


@dataclass(frozen=True)
class Summary:
    """What a store holds, and where it is."""

    folder: Path
    splits: list[SplitSummary]

    def table(self) -> Table:
        """One row a split."""
        largest = max(self.splits, key=lambda part: part.clips)
        known = f" with {', '.join(largest.labels)}" if largest.labels else ""
        title = f"{self.folder}\n{largest.size[0]}x{largest.size[1]} pixels{known}"
        table = Table(title=title, title_justify="left")
        table.add_column("split")
        for heading in ("clips", "frames", "size", "identities", "actions"):
            table.add_column(heading, justify="right")
        table.add_column("left out")
        for part in self.splits:
            skipped = "\n".join(f"{count} {reason}" for reason, count in part.skipped.items())
            numbers = (part.clips, part.frames, decimal(part.bytes), part.identities, part.actions)
            table.add_row(part.split, *map(str, numbers), skipped)
        return table


def prepare(module: VideoDataModule, console: Console, *, workers: int | None = None) -> Summary:
    """Build the store of `module` if need be, with a progress bar on `console`; what it holds is printed and returned.

    Files that are missing are downloaded where they may be, unless the module's `download` is False.

    Raises: DataError as `open_or_build`.
    """
    columns = (TextColumn("{task.description:<5}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console)
    tasks: dict[Split, TaskID] = {}
    with ExitStack() as running:

        def on_progress(split: Split, clips: int) -> None:
            if not tasks:  # not earlier: downloading has a progress bar of its own
                running.enter_context(progress)
            if split not in tasks:
                tasks[split] = progress.add_task(split, total=module.count(split))
            progress.advance(tasks[split], clips)

        store = open_or_build(module, workers=workers, download=True, on_progress=on_progress)
    summary = Summary(store.folder, [_summarise(split, store.split(split)) for split in SPLITS])
    console.print(summary.table())
    return summary


def _summarise(split: Split, part: StoreSplit) -> SplitSummary:
    return SplitSummary(
        split=split,
        clips=len(part),
        frames=part.total_frames,
        size=part.columns["video"].shape[1:] if len(part) else (0, 0),  # pyright: ignore[reportArgumentType]
        labels=[field for field in part.columns if field not in ALWAYS_THERE],
        bytes=sum(column.bytes for column in part.columns.values()),
        identities=len(part.labels("identity")),
        actions=len(part.labels("action")),
        skipped=part.skipped,
    )
