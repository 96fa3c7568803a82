"""The script that the README names runs as it stands."""

from __future__ import annotations

import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[3] / "examples" / "transfer.py"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """Runs the script as `python examples/transfer.py ...` does."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_example_runs_on_drawn_clips_and_on_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(monkeypatch)
    out = Path(capsys.readouterr().out.splitlines()[-1])
    assert out.is_relative_to(tmp_path)
    with Image.open(out) as picture:
        assert picture.size == (128, 128)
    mine = tmp_path / "mine.npz"
    run(monkeypatch, out.parent / "fog.ckpt", out.parent / "clip_0.gif", out.parent / "clip_1.gif", mine)
    with np.load(mine) as found:
        assert found["video"].shape[1:] == (3, 32, 32)
        assert len(found["video"]) > 3
