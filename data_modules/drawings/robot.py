"""A robot arm that pushes toys over a table, seen from the front."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

TOYS: tuple[Colour, ...] = ((210, 60, 50), (60, 120, 200), (240, 200, 70), (70, 160, 90), (150, 80, 170))
TABLE: Colour = (196, 170, 138)
OVERSAMPLING = 2
TOUCH = 0.11
"""Closer than this the gripper takes a toy with it; parts of the picture's side."""


@dataclass(frozen=True)
class Push:
    """What a drawn clip shows: video (t, h, w, 3) uint8; position (t, 3) of the gripper; action (t, 4)."""

    video: np.ndarray
    position: np.ndarray
    action: np.ndarray


def draw_push(seed: int, *, frames: int, size: int) -> Push:
    """The arm wanders over the table; toys that it touches move with it."""
    generator = np.random.default_rng(seed)
    toys = generator.uniform((0.15, 0.4), (0.85, 0.85), (4, 2))
    phases, paces = generator.uniform(0, 2 * math.pi, 2), generator.uniform(0.1, 0.25, 2)
    time = np.arange(frames)[:, None]
    gripper = np.array([0.5, 0.58]) + np.array([0.32, 0.24]) * np.sin(phases + paces * time)
    video = np.empty((frames, size, size, 3), dtype=np.uint8)
    for t, frame in enumerate(video):
        if t:
            touched = np.linalg.norm(toys - gripper[t - 1], axis=1) < TOUCH
            toys[touched] += gripper[t] - gripper[t - 1]
        frame[:] = np.asarray(_draw(gripper[t], toys, closed=t // 8 % 2 == 1, size=size))
    position = np.concatenate([gripper, np.full((frames, 1), 0.2)], axis=1)
    action = np.concatenate([np.diff(gripper, axis=0, append=gripper[-1:]), np.zeros((frames, 2))], axis=1)
    return Push(video, position.astype(np.float32), action.astype(np.float32))


def _draw(gripper: np.ndarray, toys: np.ndarray, *, closed: bool, size: int) -> Image.Image:
    side = size * OVERSAMPLING
    picture = Image.new("RGB", (side, side), (90, 94, 100))
    draw = ImageDraw.Draw(picture)
    draw.polygon([(0.08 * side, 0.3 * side), (0.92 * side, 0.3 * side), (side, side), (0, side)], fill=TABLE)
    for index, (x, y) in enumerate((toys * side).tolist()):
        radius = (0.05 + 0.01 * index) * side
        shape = draw.ellipse if index % 2 else draw.rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=TOYS[index % len(TOYS)], outline=(60, 50, 40))
    x, y = (gripper * side).tolist()
    elbow = ((0.5 * side + x) / 2, 0.02 * side)
    draw.line(((0.5 * side, -0.1 * side), elbow, (x, y - 0.1 * side)), fill=(60, 60, 66), width=round(0.09 * side))
    draw.rectangle((x - 0.06 * side, y - 0.14 * side, x + 0.06 * side, y - 0.07 * side), fill=(170, 30, 35))
    gap = (0.02 if closed else 0.05) * side
    for way in (-1, 1):
        finger = (x + way * gap, y - 0.08 * side, x + way * gap, y + 0.01 * side)
        draw.line(finger, fill=(30, 30, 34), width=round(0.025 * side))
    return picture.reduce(OVERSAMPLING)
