"""Downloads from a server on this machine that misbehaves as asked."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_modules.common import download
from data_modules.common.download import OFFLINE, RemoteFile, RemoteFiles
from data_modules.common.errors import DownloadError
from data_modules.sources import remote_files

CONTENT = {"a.bin": os.urandom(300_000), "deep/b.bin": b"short"}


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `asked` is every request's path and range.

    Args: breaks: bytes after which each next answer breaks off; ranges: whether parts can be asked for; swap: what to
    send instead; silent: never answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.breaks: list[int] = []
        self.ranges = True
        self.swap: dict[str, bytes] = {}
        self.silent = threading.Event()
        self.silent.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path[1:], asked))
        self.server.silent.wait(10)
        content = (CONTENT | self.server.swap).get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:][: self.server.breaks.pop(0) if self.server.breaks else None])

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv(OFFLINE)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.silent.set()
        server.shutdown()


def files(*mirrors: str) -> RemoteFiles:
    about = {path: RemoteFile(len(data), hashlib.sha256(data).hexdigest()) for path, data in CONTENT.items()}
    return RemoteFiles(name="Things", mirrors=mirrors, page="https://things.example", files=about)


def check(folder: Path) -> None:
    """Everything is in `folder`, and nothing else is beside it."""
    for path, content in CONTENT.items():
        assert (folder / path).read_bytes() == content
    assert sum(path.is_file() for path in folder.rglob("*")) == len(CONTENT)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.download.lock"}


def test_all_files_appear_together(server: Server, tmp_path: Path) -> None:
    files(server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")
    files(server.url).fetch(tmp_path / "things")
    assert server.asked == [("a.bin", None), ("deep/b.bin", None)], "what is there was asked for again"


def test_what_broke_off_is_taken_up(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 50_000]
    files(server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")
    assert server.asked[:3] == [("a.bin", None), ("a.bin", "bytes=100000-"), ("a.bin", "bytes=150000-")]


def test_the_next_call_takes_up_what_the_last_one_left(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 0]
    with pytest.raises(DownloadError, match=r"ended after 100000 of 300000 bytes[\s\S]*Go on later"):
        files(server.url).fetch(tmp_path / "things")
    assert not (tmp_path / "things").exists()
    server.asked.clear()
    files(server.url).fetch(tmp_path / "things")
    assert server.asked[0] == ("a.bin", "bytes=100000-")
    check(tmp_path / "things")


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.breaks, server.ranges = [100_000], False
    files(server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")


@pytest.mark.parametrize("wrong", [bytes(300_000), bytes(400_000), b"<html>log in first</html>"])
def test_other_content_is_refused_and_not_kept(server: Server, tmp_path: Path, wrong: bytes) -> None:
    server.swap = {"a.bin": wrong}
    with pytest.raises(DownloadError, match=r"a\.bin: (what came has another checksum|the connection ended)"):
        files(server.url).fetch(tmp_path / "things")
    assert not (tmp_path / "things").exists()
    server.swap = {}
    files(server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")


def test_a_spoilt_beginning_is_thrown_away(server: Server, tmp_path: Path) -> None:
    part = tmp_path / ".things.download" / "a.bin.part"
    part.parent.mkdir()
    part.write_bytes(bytes(1000))
    files(server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")


def test_the_next_mirror_is_asked(server: Server, tmp_path: Path) -> None:
    files(f"{server.url}gone/", server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def unplugged(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    return closed_port()


def silent(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.silent.clear()
    return server.url


def forbidden(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(OFFLINE, "1")
    return server.url


@pytest.mark.parametrize(
    ("situation", "why"), [(unplugged, "refused"), (silent, "timed out"), (forbidden, f"{OFFLINE} is set")]
)
def test_offline_says_at_once_what_to_get_and_where_to_put_it(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    situation: Callable[[Server, pytest.MonkeyPatch], str],
    why: str,
) -> None:
    with pytest.raises(DownloadError) as error:
        files(situation(server, monkeypatch)).fetch(tmp_path / "things")
    message = str(error.value)
    for part in ("Things cannot be downloaded", why, "get a.bin, deep/ from https://things.example", str(tmp_path)):
        assert part in message
    assert not (tmp_path / "things").exists()


def test_a_folder_with_some_of_the_files_gets_the_others(server: Server, tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "a.bin").write_bytes(CONTENT["a.bin"])
    files(server.url).fetch(tmp_path / "things")
    check(tmp_path / "things")
    assert server.asked == [("deep/b.bin", None)]


def test_a_place_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"file/things cannot be written"):
        files(server.url).fetch(tmp_path / "file" / "things")


@pytest.mark.parametrize(("what", "folder"), [(remote_files.MNIST, "mnist"), (remote_files.LPC_SHEETS, "lpc_sheets")])
def test_the_real_files_are_what_would_be_downloaded(real_data: Path, what: RemoteFiles, folder: str) -> None:
    for path, file in what.files.items():
        assert file.is_at(real_data / folder / path), path
