"""`vdsm-glass prepare NAME`: build a store ahead of training, and say what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from data_modules.arguments import parse
from data_modules.base import VideoDataModule
from data_modules.build import open_or_build
from data_modules.clips import Clip
from data_modules.store import SPLITS, Split, StoreSplit


@dataclass(frozen=True)
class SplitSummary:
    """What one split of a store holds; `bytes` on disk, `skipped` by reason."""

    split: Split
    clips: int
    frames: int
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
        table = Table(title=str(self.folder), title_justify="left")
        table.add_column("split")
        for heading in ("clips", "frames", "size", "identities", "actions"):
            table.add_column(heading, justify="right")
        table.add_column("left out")
        for part in self.splits:
            skipped = "\n".join(f"{count} {reason}" for reason, count in part.skipped.items())
            numbers = (part.clips, part.frames, decimal(part.bytes), part.identities, part.actions)
            table.add_row(part.split, *map(str, numbers), skipped)
        return table


def prepare(module: VideoDataModule, console: Console) -> Summary:
    """Build the store of `module` if need be, with a progress bar on `console`; what it holds is printed and returned.

    Raises: DataError as `open_or_build`.
    """
    columns = (TextColumn("{task.description:<5}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        tasks: dict[Split, TaskID] = {}

        def on_clip(split: Split, _: Clip) -> None:
            if split not in tasks:
                tasks[split] = progress.add_task(split, total=module.count(split))
            progress.advance(tasks[split])

        store = open_or_build(module, on_clip)
    summary = Summary(store.folder, [_summarise(split, store.split(split)) for split in SPLITS])
    console.print(summary.table())
    return summary


def _summarise(split: Split, part: StoreSplit) -> SplitSummary:
    return SplitSummary(
        split=split,
        clips=len(part),
        frames=part.total_frames,
        bytes=sum(column.bytes for column in part.columns.values()),
        identities=len(part.labels("identity")),
        actions=len(part.labels("action")),
        skipped=part.skipped,
    )


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    module, _ = parse("prepare", argv)
    prepare(module, Console())
    return 0
