"""Writes checkpoint files atomically, and reads them without running code from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from data_modules.common.files import naming
from vdsm_glass.checkpoints import read_whole

TEMPORARY = ".tmp"


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, flushes to the disk and renames, so that readers find the old file or the new one.

    Lightning's own writer builds the file in memory and moves it from /tmp, which copies it if /tmp is another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Replaces `path` atomically.

        Raises: TypeError, storage options are given; OSError of `path`, it cannot be written.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} takes no storage_options, got {storage_options!r}")
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
        try:
            with naming(path), temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        # The rename is stored in the folder, which is flushed separately.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint on the CPU; only plain data is read, whatever `weights_only` is.  Raises: CheckpointError."""
        return read_whole(path, mapped=False)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes `path` if it is there."""
        Path(path).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes files that killed processes did not finish writing."""
    for file in folder.glob(f".*{TEMPORARY}"):
        file.unlink(missing_ok=True)
