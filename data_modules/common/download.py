"""Downloading files: each is checked, an interrupted download resumes, and a file appears only when it is complete."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from data_modules.common.errors import DownloadError

OFFLINE = "VDSM_GLASS_OFFLINE"
"""Environment variable; nothing is downloaded where it is set."""
TIMEOUT = 15.0
"""Seconds to wait for a connection, and for every next byte."""
ATTEMPTS = 3
"""How often a file is requested from one mirror while the connection keeps breaking off."""
CHUNK = 1 << 16


class BrokenOffError(Exception):
    """A connection ended, or was silent for too long, before the file was complete; another attempt may help."""


class WrongContentError(Exception):
    """The server sent something else than the file; another attempt will not help."""


@dataclass(frozen=True)
class RemoteFile:
    """The size in bytes and the SHA-256 that a file must have."""

    bytes: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Whether the file at `path` has that size and checksum."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


@dataclass(frozen=True)
class RemoteFiles:
    """Files that are downloaded together.

    Args:
        name: what they are called, for messages.
        mirrors: addresses to which a file's path is appended, tried in this order.
        page: where a person finds them.
        files: by path.
    """

    name: str
    mirrors: tuple[str, ...]
    page: str
    files: Mapping[str, RemoteFile]

    def fetch(self, folder: Path) -> None:
        """Make `folder` hold all files. They appear there when all are complete; an interrupted call can be repeated.

        Raises: DownloadError that says what failed at each mirror, and where to get the files and put them by hand.
        """
        waiting = folder.with_name(f".{folder.name}.download")
        try:
            waiting.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f".{folder.name}.download.lock")):
                self._fetch(folder, waiting)
        except OSError as error:
            raise DownloadError(f"{folder} cannot be written: {error}. Choose another --data.root.") from error

    def _fetch(self, folder: Path, waiting: Path) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            task = progress.add_task(self.name, total=sum(file.bytes for file in self.files.values()))
            done = 0
            for path, file in self.files.items():
                if not file.is_at(folder / path):
                    self._fetch_file(
                        path, waiting, folder, lambda size, done=done: progress.update(task, completed=done + size)
                    )
                done += file.bytes
                progress.update(task, completed=done)
        _move(waiting, folder)

    def _fetch_file(self, path: str, waiting: Path, folder: Path, on_bytes: Callable[[int], object]) -> None:
        """Download one file into `waiting`, from the first mirror that has it."""
        failures = []
        for mirror in self.mirrors:
            try:
                download(f"{mirror}{path}", waiting / path, self.files[path], on_bytes)
                return
            except (BrokenOffError, WrongContentError) as error:
                failures.append(f"{mirror}{path}: {error}")
        # Files in one folder are summed up as that folder.
        wanted = dict.fromkeys(f"{file.partition('/')[0]}/" if "/" in file else file for file in self.files)
        raise DownloadError(
            f"{self.name} cannot be downloaded.\n" + "\n".join(f"    {failure}" for failure in failures) + "\n"
            f"Go on later with the same command, or get {', '.join(wanted)} from {self.page} by hand and put"
            f" them into {folder.absolute()}."
        )


def download(url: str, path: Path, file: RemoteFile, on_bytes: Callable[[int], object]) -> None:
    """Download `url` to `path`, which appears when it is complete and correct; until then it is `path` + `.part`.

    Args: on_bytes is told how many bytes have arrived.
    Raises: BrokenOffError, also where `OFFLINE` is set or there is no network; WrongContentError.
    """
    if os.environ.get(OFFLINE):
        raise BrokenOffError(f"{OFFLINE} is set")
    if file.is_at(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    for attempt in range(1, ATTEMPTS + 1):
        before = part.stat().st_size if part.is_file() else 0
        try:
            _append(url, part, file.bytes, on_bytes)
        except BrokenOffError:
            gained = part.is_file() and part.stat().st_size > before
            if attempt == ATTEMPTS or not gained:
                raise
            time.sleep(0.5 * attempt)
            continue
        if file.is_at(part):
            part.replace(path)
            return
        part.unlink()
        if not before:  # otherwise the part from an earlier call may be what was wrong
            break
    raise WrongContentError("what came has another checksum than expected")


def _append(url: str, part: Path, size: int, on_bytes: Callable[[int], object]) -> None:
    """Request the bytes that `part` lacks, and append them."""
    have = part.stat().st_size if part.is_file() else 0
    if have >= size:
        return
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(request, timeout=TIMEOUT) as response:
            resumed = response.status == http.client.PARTIAL_CONTENT
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise WrongContentError(
                    f"the server sent {response.headers.get('Content-Range')}, not what was asked for"
                )
            with part.open("ab" if resumed else "wb") as out:
                for chunk in _chunks(response, size - (have if resumed else 0)):
                    out.write(chunk)
                    on_bytes(out.tell())
                have = out.tell()
    except HTTPError as error:
        raise WrongContentError(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        raise BrokenOffError(str(error) or type(error).__name__) from error
    if have < size:
        raise BrokenOffError(f"the connection ended after {have} of {size} bytes")


def _chunks(response: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
    """What the server sends, up to one byte more than `limit`, with which the checksum fails."""
    left = limit + 1
    while left and (chunk := response.read(min(CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _move(waiting: Path, folder: Path) -> None:
    """Move the files in `waiting` into `folder`: in one step where there is no folder yet, else file by file."""
    if not folder.exists():
        waiting.rename(folder)
        return
    for path in sorted(waiting.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(waiting)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(waiting)
