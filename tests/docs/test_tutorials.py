"""Tutorials, the notebook and the container's file do what they say, from top to bottom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data_modules.drawings.tiny_video import write_videos
from tests.docs.test_pages import ROOT, TUTORIALS


@pytest.mark.thorough
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.name)
def test_a_tutorial_can_be_followed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").symlink_to(ROOT / "experiments")
    write_videos(Path("my_videos"), frames=20)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run([sys.executable, "-m", "tests.docs.follow", page], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
