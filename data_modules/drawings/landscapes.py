"""A valley between mountains, textured everywhere so that the smallest shift of it can be seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from einops import rearrange
from PIL import Image

HEIGHT, WIDTH = 438, 534
SEED = 7
SKY, HAZE, SUN = (70, 140, 215), (225, 230, 225), (255, 240, 190)
# Ridges from the farthest: where the crest is, how high its peaks are (parts of the height), and two colours.
RIDGES = (
    (0.42, 0.22, (150, 170, 200), (115, 135, 175)),
    (0.52, 0.20, (115, 140, 150), (75, 100, 125)),
    (0.64, 0.16, (95, 130, 85), (55, 85, 60)),
    (0.78, 0.10, (130, 150, 60), (70, 105, 40)),
)
FLOWERS = ((250, 220, 80), (235, 90, 80), (245, 245, 240))


@lru_cache(maxsize=1)
def draw_valley() -> Image.Image:
    """The landscape, 534 x 438 RGB, always the same."""
    generator = np.random.default_rng(SEED)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = _mix(SKY, HAZE, y / (0.6 * HEIGHT))
    clouds = np.clip(2.5 * noise(generator, coarsest=3) - 1.1, 0, 1)
    picture = _mix(picture, (255, 255, 255), clouds)
    picture = _mix(picture, SUN, np.clip(1.2 - np.hypot(x - 0.72 * WIDTH, y - 0.14 * HEIGHT) / 30, 0, 1))
    for crest, peaks, light, dark in RIDGES:
        outline = HEIGHT * (crest - peaks * (noise(generator, coarsest=4)[0] - 0.5) * 2)
        texture = noise(generator, coarsest=8)
        rocks = _mix(light, dark, np.clip(0.5 + 2.5 * (texture - 0.5), 0, 1))
        picture = _mix(picture, rocks, np.clip(y - outline, 0, 1))
    bloom = (noise(generator, coarsest=96) > 0.72) & (y > 0.8 * HEIGHT)
    picture[bloom] = np.array(FLOWERS)[generator.integers(len(FLOWERS), size=bloom.sum())]
    return Image.fromarray(np.rint(picture).clip(0, 255).astype(np.uint8))


def noise(generator: np.random.Generator, *, coarsest: int, octaves: int = 5) -> np.ndarray:
    """Fractal noise: uniform numbers on grids of `coarsest`, 2 `coarsest`, ... cells a side, each half as strong.

    Returns: (HEIGHT, WIDTH), stretched to the whole of [0, 1].
    """
    total = np.zeros((HEIGHT, WIDTH))
    for octave in range(octaves):
        cells = min(coarsest * 2**octave, HEIGHT)
        grid = Image.fromarray(generator.random((cells, cells), dtype=np.float32))
        total += np.asarray(grid.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 2**octave
    return (total - total.min()) / np.ptp(total)


def _mix(below: np.ndarray | tuple[int, ...], above: np.ndarray | tuple[int, ...], share: np.ndarray) -> np.ndarray:
    """(1 - share)·below + share·above, share clipped to [0, 1]: colours or pictures, (3,) or (h, w, 3)."""
    part = rearrange(np.clip(share, 0, 1), "h w -> h w 1")
    return (1 - part) * np.asarray(below) + part * np.asarray(above)
