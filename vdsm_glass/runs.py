"""Run folders: `<dir>/<recipe>/version_<n>/` with config.yaml, metrics.csv, checkpoints/ and pictures/."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from data_modules.common.errors import UserError

CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
LATEST = "latest"
VERSION = "version_"
LAST, BEST = "last", "best"


@dataclass
class RunOptions:
    """Where a run writes: `<dir>/<name>/version_<version>/`.

    Args:
        dir: the folder of all runs.
        name: the recipe's name; by default the first --config file's path below experiments/, without suffix.
        version: which version; by default one more than the newest, or with `--ckpt_path last` the newest.
    """

    dir: str = "runs"
    name: str | None = None
    version: int | None = None


class RunPaths:
    """The checkpoint that a command reads and the folder that it writes to.

    `fit --ckpt_path last` goes on in the newest version's folder; any other fit makes a new version. A test writes
    beside its checkpoint, to `<run>/test/version_<n>`, or to `<dir>/<recipe>/test/version_<n>` if that is in no run.

    Args:
        command: fit, validate, test or predict.
        options: the run's options, with its name filled in.
        ckpt_path: a file, or `last` or `best`: that file of the newest version of this recipe that has one.
    Raises: UserError, there is no such checkpoint, or `fit --ckpt_path last` would resume an older run than the newest.
        Where no version has a checkpoint, `fit --ckpt_path last` starts from the beginning.
    """

    def __init__(self, *, command: str, options: RunOptions, ckpt_path: str | None) -> None:
        self.command, self.version = command, options.version
        self.recipe_folder = Path(options.dir) / (options.name or "")
        self.checkpoint = self._find(ckpt_path) if ckpt_path else None
        self.resumes = command == "fit" and ckpt_path == LAST and self.checkpoint is not None

    @property
    def run_folder(self) -> Path | None:
        """The run that the checkpoint belongs to."""
        return run_of(self.checkpoint) if self.checkpoint else None

    def make_folder(self) -> Path:
        """Makes the folder to write to, unless a run is resumed, and returns it; called by one process of a job."""
        if self.resumes and self.checkpoint is not None:
            return self.checkpoint.parent.parent
        if self.command == "fit":
            return new_version(self.recipe_folder, self.version)
        return new_version((self.run_folder or self.recipe_folder) / self.command)

    def _find(self, ckpt_path: str) -> Path | None:
        if ckpt_path not in (LAST, BEST):
            return Path(ckpt_path)
        folders = versions(self.recipe_folder)
        if self.version is not None:
            folders = [self.recipe_folder / f"{VERSION}{self.version}"]
        files = (folder / CHECKPOINTS / f"{ckpt_path}.ckpt" for folder in folders)
        found = next((file for file in files if file.is_file()), None)
        resumes = (self.command, ckpt_path) == ("fit", LAST)
        if found is None and not resumes:
            raise UserError(
                f"{self.recipe_folder}: no version has a {CHECKPOINTS}/{ckpt_path}.ckpt; train it first: vdsm-glass fit"
            )
        if found is None:
            print(f"no checkpoint under {self.recipe_folder} yet: starting from the beginning", file=sys.stderr)
        elif resumes and (older := found.parent.parent) != folders[0]:
            raise UserError(
                f"{folders[0]}: this is the newest run, and it has no checkpoint to resume; to resume {older.name} "
                f"instead, add --run.version {older.name.removeprefix(VERSION)}; to start a new one, leave --ckpt_path "
                "out"
            )
        return found


def versions(recipe_folder: Path) -> list[Path]:
    """The version folders of a recipe, newest first."""
    numbered = [
        (int(number), folder)
        for folder in recipe_folder.glob(f"{VERSION}*")
        if (number := folder.name.removeprefix(VERSION)).isdigit() and folder.is_dir()
    ]
    return [folder for _, folder in sorted(numbered, reverse=True)]


def new_version(recipe_folder: Path, version: int | None = None) -> Path:
    """Makes a new version folder and returns it; processes that ask at the same time get different ones.

    Args: version, its number; by default one more than the newest.
    Raises: UserError, `version` exists already.
    """
    taken = versions(recipe_folder)
    number = int(taken[0].name.removeprefix(VERSION)) + 1 if taken and version is None else version or 0
    while True:
        folder = recipe_folder / f"{VERSION}{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if version is not None:
                raise UserError(
                    f"{folder}: this version exists already; leave --run.version out for a new one, or resume it "
                    "with --ckpt_path last"
                ) from None
            number += 1
        else:
            return folder


def link_latest(folder: Path) -> None:
    """Points the recipe's `latest` at this version, atomically: readers find the old link or the new one."""
    temporary = folder.parent / f".{LATEST}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name, target_is_directory=True)
    temporary.replace(folder.parent / LATEST)


def discard_if_empty(folder: Path) -> None:
    """Removes a version folder if it is empty, as a run that could not start leaves it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that holds a checkpoint; None if it is in no run."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == CHECKPOINTS and (folder.parent / CONFIG).is_file() else None
