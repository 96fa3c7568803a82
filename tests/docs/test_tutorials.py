"""Tutorials, the notebook and the container's file do what they say, from top to bottom."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from data_modules.drawings.tiny_video import write_videos
from tests.docs.test_pages import ROOT, TUTORIALS
from vdsm_glass.box.place import names
from vdsm_glass.cli import main


@pytest.mark.thorough
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.name)
def test_a_tutorial_can_be_followed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").symlink_to(ROOT / "experiments")
    write_videos(Path("my_videos"), frames=20)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-P", "-m", "tests.docs.follow", page]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a kernel of its own, as in a browser; a cell that raises ends it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("VDSM_GLASS_TINY", "1")
    notebook = nbformat.read(ROOT / "examples" / "first_steps.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "saved with its outputs"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", ()) if "image/gif" in out.get("data", {})]
    assert len(shown) == 4


def test_the_container_holds_what_its_command_needs(monkeypatch: pytest.MonkeyPatch):
    """Docker itself is not asked; this reads what the file says."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {source for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for source in line.split()}
    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)
    with (ROOT / "pyproject.toml").open("rb") as file:
        needed = tomllib.load(file)["project"]["dependencies"]
    assert set(re.findall(r'"(torch[^"]+)"', text)) <= set(needed)

    command = json.loads(text.rpartition("\nCMD ")[2])
    served, played = [], []
    monkeypatch.setattr("vdsm_glass.commands.play.add_page", lambda path, *_, **__: played.append(path))
    monkeypatch.setattr("vdsm_glass.play.server.bind", lambda port, host: (port, host))
    monkeypatch.setattr("vdsm_glass.play.server.serve", lambda at, browser: served.append((*at, browser)))
    assert command[0] == "vdsm-glass"
    assert main(command[1:]) == 0
    assert served == [(int(re.findall(r"EXPOSE (\d+)", text)[0]), "0.0.0.0", False)]
    assert [path.name for path in played] == names()
