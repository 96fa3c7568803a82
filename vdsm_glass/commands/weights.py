"""`vdsm-glass weights list|fetch|check [NAME...]`: the published weights that metrics and losses need."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from data_modules.common.download import BrokenOffError, WrongContentError, download
from data_modules.common.errors import DownloadError, UserError, did_you_mean
from vdsm_glass.published_weights import CACHE, WEIGHTS, PublishedWeights, cache_folder, places, sha256

MEGABYTE = 1_000_000


def main(argv: list[str]) -> int:
    """Runs the command with the arguments `argv`.  Raises: UserError."""
    parser = ArgumentParser(
        prog="vdsm-glass weights",
        description=f"Files are in {cache_folder()}, or where {CACHE} says. PyTorch Hub's cache is searched, too.",
        epilog=f"NAME is one of {', '.join(WEIGHTS)}.",
    )
    parser.add_argument("action", choices=ACTIONS, help="list all weights; download them; verify those that are there")
    parser.add_argument("names", metavar="NAME", nargs="*", help="of which weights; by default of all")
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in WEIGHTS:
            raise UserError(
                f"no weights are named {name!r}{did_you_mean(name, WEIGHTS)}; expected {', '.join(WEIGHTS)}"
            )
    ACTIONS[options.action](options.names)
    return 0


def show(names: Sequence[str]) -> None:
    """Prints the file, source, checksum and licence of each, and where it lies."""
    for name in names or WEIGHTS:
        weights = WEIGHTS[name]
        path = present(weights)
        print(f"{name:<14} {weights.name}, {weights.size / MEGABYTE:.1f} MB, for {weights.used_by}")
        print(f"{'':<14} {path if path else 'not there'}")
        print(f"{'':<14} {weights.address}")
        print(f"{'':<14} sha256 {weights.sha256}")
        print(f"{'':<14} {weights.licence}")


def fetch(names: Sequence[str]) -> None:
    """Downloads what is missing in the cache, and resumes broken downloads.

    Raises: DownloadError, after all were tried; it says how to get the missing files by hand.
    """
    folder = cache_folder()
    failures = []
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        for name in names or WEIGHTS:
            weights = WEIGHTS[name]
            task = progress.add_task(name, total=weights.size)
            try:
                fetch_one(weights, folder, lambda size, task=task: progress.update(task, completed=size))
                progress.update(task, completed=weights.size)
            except (BrokenOffError, WrongContentError) as error:
                failures.append(f"    {weights.address}: {error}")
            except OSError as error:
                raise DownloadError(f"{folder} cannot be written: {error}. Name another folder by {CACHE}.") from error
    if failures:
        raise DownloadError(
            "not everything can be downloaded.\n" + "\n".join(failures) + "\n"
            f"Go on later with the same command, or get these files by hand and put them into {folder.absolute()}."
        )


def fetch_one(weights: PublishedWeights, folder: Path, on_bytes: Callable[[int], object]) -> None:
    """Downloads one file, whole or not at all.  Raises: as `download`."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{weights.name}.lock"):
        download(weights.address, folder / weights.name, weights.file, on_bytes)


def check(names: Sequence[str]) -> None:
    """Verifies size and checksum of the files that are there.

    Raises: UserError, a file is wrong, or one of those named is missing.
    """
    wrong = []
    for name in names or WEIGHTS:
        weights = WEIGHTS[name]
        path = present(weights)
        if path is None:
            print(f"{name:<14} not there")
            wrong += [f"{name} is not there; `vdsm-glass weights fetch {name}`"] if names else []
        elif weights.file.is_at(path):
            print(f"{name:<14} as published  {path}")
        else:
            print(f"{name:<14} WRONG         {path}")
            wrong.append(
                f"{path} is not {weights.name}: it has {path.stat().st_size} bytes and sha256 {sha256(path)}, not "
                f"{weights.size} and {weights.sha256}; remove it, then `vdsm-glass weights fetch {name}`"
            )
    if wrong:
        raise UserError("\n".join(wrong))


def present(weights: PublishedWeights) -> Path | None:
    """The file that `published_weights.find` takes by default; None if there is none."""
    return next((path for path in places(weights.name) if path.is_file()), None)


ACTIONS: dict[str, Callable[[Sequence[str]], None]] = {"list": show, "fetch": fetch, "check": check}
