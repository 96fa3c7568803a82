"""Stores elsewhere, which fsspec reads: s3://, gs://, https://, a mounted disk. Their files come into a cache."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
from filelock import FileLock

from data_modules.common.errors import MALFORMED, DataError
from data_modules.store.format import MANIFEST, SPLITS, Column, file_name, read_manifest
from data_modules.store.reader import Store

log = logging.getLogger(__name__)

SILENT_SECONDS = 30
"""How long a web server may say nothing; a download as a whole takes as long as it takes."""
GIGABYTE = 10**9


@dataclass(frozen=True)
class Remote:
    """A store elsewhere, and the cache of its files, which many stores and processes may share.

    A file is cached when it is first used, under its checksum. Where the cache would grow over its size, the files that
    were opened longest ago go first; a process that has one open reads on.

    Args: url, the folder of the store; cache, a folder; gigabytes, most that it holds.
    """

    url: str
    cache: Path
    gigabytes: float

    def open(self, request: dict[str, Any]) -> Store:
        """The store.

        Args: request: what `ClipSource.request` says of the options that it must have been made with.
        Raises: DataError where it cannot be read, is no store, or was made with other options.
        """
        with TemporaryDirectory() as folder:
            self._get(MANIFEST, Path(folder, MANIFEST))
            try:
                manifest = read_manifest(Path(folder))
                made = manifest["request"]
                differ = [key for key in {**made, **request} if key != "location" and made.get(key) != request.get(key)]
                store = Store(Path(folder), manifest)
                for split in SPLITS:
                    columns = store.split(split).columns
                    for field, column in columns.items():
                        columns[field] = self._column(split, field, column)
            except (DataError, *MALFORMED) as error:
                raise DataError(
                    f"{self.url}/{MANIFEST} is not the manifest of a store of this version: {error}"
                ) from error
        if differ:
            options = ", ".join(f"{key} is {made.get(key)}, asked for {request.get(key)}" for key in differ)
            raise DataError(
                f"{self.url} was made with other options: {options}. Set them alike, or name another store."
            )
        return store

    def _column(self, split: str, field: str, column: Column) -> RemoteColumn:
        if not re.fullmatch("[0-9a-f]{64}", column.sha256):
            raise ValueError(f"{column.sha256!r} is not a checksum")
        path = self.cache / column.sha256 / file_name(field)
        return RemoteColumn(**{**vars(column), "path": path}, remote=self, name=f"{split}/{file_name(field)}")

    def fetch(self, column: RemoteColumn) -> None:
        """Makes the cache hold a column's file, complete and checked.

        Raises: DataError where it cannot be read, is not what the manifest says, or does not fit into the cache.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache / ".lock"):
            if not column.path.is_file():
                self._make_room(column)
                log.info("Fetching %s/%s, %d bytes.", self.url, column.name, column.bytes)
                with TemporaryDirectory(dir=self.cache) as folder:
                    arrived = Path(folder, column.path.name)
                    self._get(column.name, arrived)
                    with arrived.open("rb") as file:
                        found = arrived.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
                    if found != (column.bytes, column.sha256):
                        raise DataError(
                            f"{self.url}/{column.name} is not what its manifest says: {found[0]} of"
                            f" {column.bytes} bytes came, with another checksum. Copy the store there again."
                        )
                    Path(folder).rename(column.path.parent)
                    Path(folder).mkdir()  # for its removal
            os.utime(column.path)

    def _make_room(self, column: RemoteColumn) -> None:
        """Removes what was opened longest ago, and what a killed process left."""
        most = int(self.gigabytes * GIGABYTE)
        if column.bytes > most:
            raise DataError(
                f"{self.url}/{column.name} has {column.bytes} bytes, and the cache holds {most}. Give it more:"
                f" --data.cache_gb {column.bytes / GIGABYTE:.3g}, or as much as the store has."
            )
        files = sorted(self.cache.glob("*/*"), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total + column.bytes > most or len(file.parent.name) != len(column.sha256):
                total -= file.stat().st_size
                file.unlink()
                file.parent.rmdir()

    def _get(self, name: str, target: Path) -> None:
        url = f"{self.url.rstrip('/')}/{name}"
        options: dict[str, Any] = {}
        if self.url.startswith(("http:", "https:")):
            from aiohttp import ClientTimeout

            silent = ClientTimeout(total=None, sock_connect=SILENT_SECONDS, sock_read=SILENT_SECONDS)
            options["client_kwargs"] = {"timeout": silent}
        try:
            system, path = fsspec.core.url_to_fs(url, **options)
            system.get_file(path, str(target))
        except Exception as error:  # each of fsspec's systems has its own
            what = str(error) or type(error).__name__
            raise DataError(f"{url} cannot be read: {what}. Is the store there? Then repeat the command.") from error


@dataclass(frozen=True)
class RemoteColumn(Column):
    """A file of a store elsewhere.  Args: path, in the cache; remote, where it comes from; name, below the store."""

    remote: Remote
    name: str

    def here(self) -> Path:
        self.remote.fetch(self)
        return self.path

    def check_size(self) -> None:
        """Nothing: size and checksum are checked when the file is fetched."""
