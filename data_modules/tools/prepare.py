"""Building a store ahead of training, with a progress bar, and printing what is in it."""

from __future__ import annotations

from contextlib import ExitStack

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from data_modules.base import VideoDataModule
from data_modules.store.build import open_or_build
from data_modules.store.format import SPLITS, Split
from data_modules.store.reader import Store

ALWAYS_THERE = ("video", "length", "identity", "action", "name")


def prepare(
    module: VideoDataModule, console: Console, *, workers: int | None = None, cluster: str | None = None
) -> Store:
    """The store of `module`, built if need be with a progress bar on `console`, which then shows what it holds.

    Missing files are downloaded where that is possible, unless the module's `download` is False.

    Args: workers, cluster: as `open_or_build`.
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

        store = open_or_build(module, workers=workers, cluster=cluster, download=True, on_progress=on_progress)
    console.print(contents(store))
    return store


def contents(store: Store) -> Table:
    """What a store holds: a row for each split."""
    largest = max((store.split(split) for split in SPLITS), key=len)
    height, width = largest.columns["video"].shape[1:] if len(largest) else (0, 0)
    labels = [field for field in largest.columns if field not in ALWAYS_THERE]
    known = f" with {', '.join(labels)}" if labels else ""
    table = Table("split", title=f"{store.folder}\n{height}x{width} pixels{known}", title_justify="left")
    for heading in ("clips", "frames", "size", "identities", "actions"):
        table.add_column(heading, justify="right")
    table.add_column("left out")
    for split in SPLITS:
        part = store.split(split)
        skipped = "\n".join(f"{count} {reason}" for reason, count in part.skipped.items())
        identities, actions = len(part.labels("identity")), len(part.labels("action"))
        numbers = (len(part), part.total_frames, decimal(part.bytes), identities, actions)
        table.add_row(split, *map(str, numbers), skipped)
    return table
