"""The picture of the leak matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vdsm_glass.metrics.disentanglement import LeakMatrix
from vdsm_glass.report.leaks import draw_leaks


def test_what_is_read_is_bright_and_what_is_not_is_dark_also_in_grey(tmp_path: Path):
    accuracy = np.array([[1.0, 0.25], [0.5, 1.0]])
    matrix = LeakMatrix(accuracy=accuracy, chance=np.array([0.25, 0.5]), factors=("identity",))
    picture = draw_leaks(matrix, tmp_path / "pictures" / "leaks.png")
    pixels = np.asarray(Image.open(picture).convert("L"))
    h, w = pixels.shape
    # Beside the numbers, well within each cell; the map lies left of its scale and below its title.
    corners = [[pixels[h // 4, w // 3], pixels[h // 4, 3 * w // 4]], [pixels[3 * h // 4 + h // 8, w // 3], 0]]
    assert int(corners[0][0]) - int(corners[0][1]) > 100
    assert int(corners[0][0]) - int(corners[1][0]) > 100


def test_every_number_is_written_beside_its_chance(tmp_path: Path, monkeypatch):
    written = []
    monkeypatch.setattr("matplotlib.axes.Axes.text", lambda self, x, y, text, **style: written.append((x, y, text)))
    accuracy = np.array([[0.914, 0.2], [0.3, 0.8]])
    draw_leaks(
        LeakMatrix(accuracy=accuracy, chance=np.array([0.18, 0.11]), factors=("hair", "body")), tmp_path / "a.png"
    )
    assert written == [
        (0, 0, "0.91\nchance 0.18"),
        (1, 0, "0.20\nchance 0.18"),
        (0, 1, "0.30\nchance 0.11"),
        (1, 1, "0.80\nchance 0.11"),
    ]
