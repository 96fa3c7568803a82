"""What ends when something of the machine ends: one error that names it, and nothing that was saved is lost.

Disk full: a small disk in memory with 4 kB left; only root can make one. File too large: a limit, which every user may
set, met in the middle of a file. Read-only folder: as another user, because root may write anywhere. What only root can
try is left out where this program is not root. File
handles: a limit below what the program needs. Memory: a loader's worker that is killed, as Linux kills the largest.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any

from benchmarks.common import PROC
from benchmarks.fault_kills import fit, prepare, unreadable
from vdsm_glass.cli import main

NOBODY = 65534
FILLER = "filler"
OF_ROOT = ("disk full", "read-only folder")
COMMANDS = {"fit": fit, "prepare": prepare}


def disk_full(folder: Path) -> None:
    """All but 4 kB of the disk are taken, by a file that `tried` removes."""
    free = os.statvfs(folder)
    (folder / FILLER).write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - 4096)))


def too_large(_: Path) -> None:
    """No file may have more than 2 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def read_only(folder: Path) -> None:
    """Nobody may write to the folder, and this process is nobody."""
    folder.chmod(0o755)
    for each in folder.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def no_handles(_: Path) -> None:
    """One file more than are open; the limit is one of numbers, so gaps below it are closed first."""
    most = max(int(each.name) for each in (PROC / "self/fd").iterdir())
    while os.open(os.devnull, os.O_RDONLY) < most:
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + 2, most + 2))


def killed_worker(_: Path) -> None:
    """Loader workers are killed at their second row."""
    from tests.runs import Rows

    set_start_method("fork", force=True)  # workers are to have what is changed here
    parent, read, seen = os.getpid(), Rows.__getitem__, []

    def get(self: Rows, key: Any) -> Any:
        seen.append(key)
        if os.getpid() != parent and len(seen) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, key)

    Rows.__getitem__ = get


LIMITS: dict[str, Callable[[Path], None]] = {
    "disk full": disk_full,
    "file too large": too_large,
    "read-only folder": read_only,
    "no file handles": no_handles,
    "worker killed": killed_worker,
}


def command(arguments: list[str], folder: Path, said: Path, limit: str | None) -> None:
    """A command, under a limit if one is named."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if limit is not None:
        LIMITS[limit](folder)
    sys.exit(main(arguments))


def tried(what: str, limit: str, home: Path, epochs: int) -> dict[str, Any]:
    """A command that was run once before, again under a limit, and then once more without."""
    (folder := home / f"{what} {limit}").mkdir()
    if limit == "disk full":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    outside = home / "said.txt"
    more = []
    if what == "fit":
        workers = ["--data.num_workers", "1"] if limit == "worker killed" else []
        assert ended(fit(folder), folder, outside) == 0
        more = ["--trainer.max_epochs", str(epochs), *workers]
    arguments = [*COMMANDS[what](folder), *more]
    code = ended(arguments, folder, outside, limit)
    errors = [line for line in outside.read_text().splitlines() if line.startswith("vdsm-glass: error: ")]
    traceback = "Traceback" in outside.read_text()
    wrong = unreadable(folder)
    if code != 2 or len(errors) != 1 or traceback:
        wrong.append(f"exit code {code}, {len(errors)} errors, traceback {traceback}: {outside.read_text()[-3500:]}")
    (folder / FILLER).unlink(missing_ok=True)
    if ended(arguments, folder, outside) != 0:
        wrong.append(f"does not go on without the limit: {outside.read_text()[-3500:]}")
    if limit == "disk full":
        subprocess.run(["umount", str(folder)], check=True)
    shutil.rmtree(folder)
    return {
        "what": what,
        "limit": limit,
        "error": errors[0][19:].replace(f"{home}/", "") if errors else None,
        "wrong": wrong,
    }


def ended(arguments: list[str], folder: Path, said: Path, limit: str | None = None) -> int | None:
    """The exit code of a command in a process of its own."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["vdsm_glass.commands.train", "vdsm_glass.commands.prepare", "tests.runs"])
    process = context.Process(target=command, args=(arguments, folder, said, limit))
    process.start()
    process.join(600)
    process.kill()
    return process.exitcode


def run(_count: int, _seed: int, state: Path, progress: Callable[[int], None]) -> dict[str, Any]:
    """Every limit, for a training and for `prepare`.  Returns: the errors as said, and what was wrong."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        for number, limit in enumerate(list(LIMITS)):
            for what in ("fit",) if limit == "worker killed" else COMMANDS:
                if limit not in OF_ROOT or os.geteuid() == 0:
                    rows.append(tried(what, limit, home, epochs=4))
                    state.write_text(json.dumps(rows, indent=1), encoding="utf-8")
            progress(number + 1)
    return {"wrong": sum(bool(row["wrong"]) for row in rows), "kinds": rows}
