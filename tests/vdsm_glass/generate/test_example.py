"""The script that the README names runs as it stands."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).parents[3] / "examples" / "transfer.py"


def test_the_example_runs_on_drawn_clips_and_on_what_it_is_given(tmp_path: Path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, str(SCRIPT)], check=True, capture_output=True, text=True, env=environment)
    out = Path(ran.stdout.splitlines()[-1])
    with Image.open(out) as picture:
        assert picture.size == (128, 128)
    mine = tmp_path / "mine.npz"
    given = [out.parent / "fog.ckpt", out.parent / "clip_0.gif", out.parent / "clip_1.gif", mine]
    runpy.run_path(str(SCRIPT))["main"](list(map(str, given)))
    with np.load(mine) as found:
        assert found["video"].shape[1:] == (3, 32, 32)
        assert len(found["video"]) > 3
