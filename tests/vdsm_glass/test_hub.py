"""Models on the Hub, against a stand-in: its cache on disk without network, and an API that keeps what it is given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_modules.common.errors import UserError
from tests.vdsm_glass.generate.small import checkpoint
from vdsm_glass.box.place import located
from vdsm_glass.cli import main
from vdsm_glass.export import export
from vdsm_glass.hub import FILES, fetch, push

COMMIT = "0" * 40


def test_a_model_is_loaded_from_the_cache_without_network(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    kept = tmp_path / "hub" / "models--owner--name"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    export(checkpoint("vdsm", tmp_path / "run"), kept / "snapshots" / COMMIT)
    script = "import sys; from vdsm_glass import load; print(load(sys.argv[1], device='cpu'))"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    for name, code, says in (("owner/name", 0, "VDSM"), ("owner/other", 1, "UserError: hf://owner/other cannot be")):
        done = subprocess.run(
            [sys.executable, "-c", script, f"hf://{name}"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert says in done.stdout + done.stderr


class Api:
    """Keeps repositories as folders."""

    kept: Path

    def create_repo(self, name: str, *, exist_ok: bool) -> None:
        assert exist_ok
        (self.kept / name).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str]) -> None:
        for file in folder_path.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, self.kept / repo_id)


def test_what_is_pushed_comes_back_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(Api, "kept", tmp_path / "hub", raising=False)
    monkeypatch.setattr(hub, "HfApi", Api)

    def download(name: str, *, allow_patterns: list[str]) -> str:
        assert allow_patterns == FILES
        return str(Api.kept / name)

    monkeypatch.setattr(hub, "snapshot_download", download)
    path = checkpoint("vdsm", tmp_path / "run")
    assert main(["export", str(path), str(tmp_path / "out"), "--push", "owner/name"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "hf://owner/name"
    (tmp_path / "out" / "evil.py").touch()
    (tmp_path / "out" / "weights.bin").touch()
    push(tmp_path / "out", "owner/name")
    for address in ("hf://owner/name", Path("hf://owner/name")):
        assert sorted(file.name for file in located(address).iterdir()) == [
            "README.md",
            "config.json",
            "weights.safetensors",
        ]


def test_what_keeps_the_hub_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    errors = SimpleNamespace(HfHubHTTPError=RuntimeError, LocalEntryNotFoundError=RuntimeError)

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    api = SimpleNamespace(create_repo=away)
    stand_in = SimpleNamespace(errors=errors, snapshot_download=away, HfApi=lambda: api)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    with pytest.raises(UserError, match=r"hf://a/b cannot be fetched \(ConnectionError: no route\); look at .*network"):
        fetch("a/b")
    with pytest.raises(UserError, match=r"cannot be pushed to hf://a/b \(ConnectionError: no route\)"):
        push(tmp_path, "a/b")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"needs huggingface_hub: pip install -e '\.\[hub\]'"):
        fetch("a/b")
