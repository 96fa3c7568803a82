"""One half of a tennis court with a player on it, as a camera behind the base line sees them."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

GRASS: tuple[Colour, ...] = ((96, 132, 62), (62, 104, 150), (176, 106, 70))
SHIRTS: tuple[Colour, ...] = ((240, 240, 240), (30, 40, 90), (220, 60, 50), (240, 200, 60))
SKIN: Colour = (224, 178, 140)
OVERSAMPLING = 2


def draw_rally(seed: int, *, frames: int, height: int, width: int) -> np.ndarray:
    """(frames, height, width, 3) uint8: a player runs to and fro along the base line; `seed` says who and how."""
    generator = np.random.default_rng(seed)
    phase, pace, reach = generator.uniform((0, 0.12, 0.15), (2 * math.pi, 0.2, 0.3))
    court = _draw_court(GRASS[seed % len(GRASS)], height, width)
    video = np.empty((frames, height, width, 3), dtype=np.uint8)
    for time, frame in enumerate(video):
        picture = court.copy()
        x = 0.5 + reach * math.sin(phase + pace * time)
        y = 0.62 + 0.12 * math.sin(0.6 * (phase + pace * time))
        _draw_player(ImageDraw.Draw(picture), x * court.width, y * court.height, time, SHIRTS[seed % len(SHIRTS)])
        frame[:] = np.asarray(picture.reduce(OVERSAMPLING))
    return video


def _draw_court(grass: Colour, height: int, width: int) -> Image.Image:
    h, w = height * OVERSAMPLING, width * OVERSAMPLING
    court = Image.new("RGB", (w, h), grass)
    draw = ImageDraw.Draw(court)
    draw.rectangle((0, 0, w, 0.08 * h), fill=(40, 60, 50))
    for x in range(0, w, max(4, w // 60)):  # the net's meshes
        draw.line((x, 0, x, 0.08 * h), fill=(70, 90, 80))
    near, far = 0.85 * h, 0.08 * h
    lines = [
        ((0.05 * w, near), (0.95 * w, near)),
        ((0.14 * w, 0.4 * h), (0.86 * w, 0.4 * h)),
        ((0.05 * w, near), (0.2 * w, far)),
        ((0.95 * w, near), (0.8 * w, far)),
        ((0.5 * w, 0.4 * h), (0.5 * w, far)),
    ]
    for line in lines:
        draw.line(line, fill=(245, 245, 245), width=max(1, h // 64))
    return court


def _draw_player(draw: ImageDraw.ImageDraw, x: float, y: float, time: int, shirt: Colour) -> None:
    """From the feet at (x, y) up, a quarter of the picture high, legs and racket in motion."""
    size = 0.3 * draw.im.size[1]
    stride = 0.22 * size * math.sin(0.9 * time)
    draw.ellipse((x - 0.3 * size, y - 0.05 * size, x + 0.3 * size, y + 0.05 * size), fill=(40, 60, 40))
    for side in (-1, 1):
        draw.line((x, y - 0.45 * size, x + side * stride, y), fill=SKIN, width=round(0.12 * size))
    draw.rectangle((x - 0.14 * size, y - 0.5 * size, x + 0.14 * size, y - 0.38 * size), fill=(250, 250, 250))
    draw.rectangle((x - 0.16 * size, y - 0.85 * size, x + 0.16 * size, y - 0.48 * size), fill=shirt)
    draw.ellipse((x - 0.1 * size, y - 1.05 * size, x + 0.1 * size, y - 0.83 * size), fill=SKIN)
    swing = 0.6 * math.sin(0.35 * time)
    hand = (x + 0.42 * size * math.cos(swing), y - 0.7 * size + 0.42 * size * math.sin(swing))
    draw.line((x + 0.14 * size, y - 0.75 * size, *hand), fill=SKIN, width=round(0.09 * size))
    head = (hand[0] + 0.18 * size * math.cos(swing), hand[1] + 0.18 * size * math.sin(swing))
    box = (head[0] - 0.12 * size, head[1] - 0.12 * size, head[0] + 0.12 * size, head[1] + 0.12 * size)
    draw.ellipse(box, outline=(30, 30, 30), width=max(1, round(0.05 * size)))
