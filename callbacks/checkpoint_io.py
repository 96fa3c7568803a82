"""Checkpoint files that are whole at every moment, and that run no code when they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from vdsm_glass.checkpoints import read_whole

TEMPORARY = ".tmp"


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, flushes to the disk and renames: a reader finds the old file or the new one.

    Lightning's own writer collects the file in memory, and moves it from /tmp, which is a copy where /tmp is another
    disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Replaces `path` at once.  Raises: TypeError, storage options, of which there are none."""
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} takes no storage_options, got {storage_options!r}")
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        # The rename itself lives in the folder, which has its own buffer.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint on the CPU, plain data only whatever `weights_only` says.  Raises: CheckpointError."""
        return read_whole(path, mapped=False)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes `path` if it is there."""
        Path(path).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process had half written."""
    for file in folder.glob(f".*{TEMPORARY}"):
        file.unlink(missing_ok=True)
