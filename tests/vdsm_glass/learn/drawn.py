"""Videos whose answers are known: characters that walk over a landscape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from data_modules.drawings.characters import draw_cell
from data_modules.drawings.landscapes import draw_valley

LAYERS = ("body", "bottomwear", "shoes", "topwear", "hair")
RADIANS = 0.05


@dataclass(frozen=True)
class Drawn:
    """A video (t, h, w, 3) uint8, its mask (t, h, w) bool, and where each of n agents' cells are, (n, t, 2), (x, y)."""

    video: np.ndarray
    mask: np.ndarray
    places: np.ndarray


def draw(
    *, frames: int, height: int = 120, width: int = 160, agents: int = 1, camera: float = 0.0, walks: bool = True,
    noise: float = 2.0, seed: int = 0,
) -> Drawn:  # fmt: skip
    """Agents of 32 px on ellipses of their own; the camera goes `camera` px a frame to the right."""
    generator = np.random.default_rng(seed)
    whole = np.asarray(draw_valley().resize((4 * width, 4 * height)))[height:]
    times = np.arange(frames) * (1.0 if walks else 0.0)
    places = []
    for agent in range(agents):
        phase = generator.uniform(0, 6.28) + 3.14 * agent
        x = (width - 32) / 2 * (1 + 0.9 * np.cos(phase + RADIANS * times))
        y = (height - 32) * (0.5 + 0.4 * np.sin(phase + RADIANS * times))
        places.append(np.stack([x, y], axis=1))
    video, masks = [], []
    for t in range(frames):
        left = round(camera * t) % (2 * width)
        frame = whole[height : 2 * height, left : left + width].astype(float)
        mask = np.zeros((height, width), bool)
        for agent, place in enumerate(places):
            x, y = place[t].round().astype(int)
            cell = np.asarray(sprite(agent + seed, t // 3 % 9 if walks else 0), float)
            alpha = cell[..., 3:] / 255
            part = frame[y : y + 32, x : x + 32]
            part[:] = alpha * cell[..., :3] + (1 - alpha) * part
            mask[y : y + 32, x : x + 32] |= alpha[..., 0] > 0.5
        video.append((frame + noise * generator.standard_normal(frame.shape)).round().clip(0, 255))
        masks.append(mask)
    return Drawn(np.stack(video).astype(np.uint8), np.stack(masks), np.stack(places))


@lru_cache
def sprite(choice: int, column: int) -> Image.Image:
    """A character of 32x32 RGBA at one moment of its walk."""
    picture = Image.new("RGBA", (64, 64))
    for layer in LAYERS:
        picture.alpha_composite(draw_cell(layer, choice, "walk", "left", column))
    return picture.resize((32, 32), Image.Resampling.BOX)
