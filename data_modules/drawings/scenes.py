"""Drawings with the shapes of the recorded datasets: faces as in MUG, rallies as in Tennis, a robot arm as in BAIR."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from data_modules.sources.softmotion import Trajectory

Colour = tuple[int, int, int]
Point = tuple[float, float]

DARK: Colour = (40, 25, 25)
SKINS: tuple[Colour, ...] = ((240, 200, 170), (215, 165, 125), (190, 140, 105), (250, 215, 190))
HAIRS: tuple[Colour, ...] = ((60, 40, 30), (30, 30, 35), (170, 120, 60), (110, 60, 40))
GRASS: tuple[Colour, ...] = ((96, 132, 62), (62, 104, 150), (176, 106, 70))
SHIRTS: tuple[Colour, ...] = ((240, 240, 240), (30, 40, 90), (220, 60, 50), (240, 200, 60))
TOYS: tuple[Colour, ...] = ((210, 60, 50), (60, 120, 200), (240, 200, 70), (70, 160, 90))

EXPRESSIONS = {
    "anger": (-0.5, 1.0, -0.2, -0.5, 0.0),
    "disgust": (-0.8, 0.4, -0.6, -0.7, 0.2),
    "fear": (0.7, -0.9, 0.8, -0.4, 0.5),
    "happiness": (0.2, 0.0, -0.3, 1.0, 0.4),
    "sadness": (0.1, -1.0, -0.4, -1.0, 0.0),
    "surprise": (1.0, 0.0, 1.0, 0.0, 1.0),
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0),
}
"""How far brows go up, brows go down at the nose, eyes widen, mouth corners go up, the mouth opens; 0 at rest."""

OVERSAMPLING = 2
TOUCH = 0.11
"""The gripper moves toys that are nearer to it than this part of the picture's side."""


class Canvas:
    """Draws anti-aliased. Points and radii are parts of the picture's width and height, line widths of its height."""

    def __init__(self, height: int, width: int, colour: Colour) -> None:
        self.size = (width * OVERSAMPLING, height * OVERSAMPLING)
        self.picture = Image.new("RGB", self.size, colour)
        self.draw = ImageDraw.Draw(self.picture)

    def ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        (x, y), (dx, dy) = centre, radii
        self.draw.ellipse(self._pixels((x - dx, y - dy), (x + dx, y + dy)), fill=colour)

    def box(self, centre: Point, radii: Point, colour: Colour) -> None:
        (x, y), (dx, dy) = centre, radii
        self.draw.rectangle(self._pixels((x - dx, y - dy), (x + dx, y + dy)), fill=colour)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.draw.polygon(self._pixels(*points), fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        self.draw.line(self._pixels(*points), fill=colour, width=max(1, round(width * self.size[1])), joint="curve")

    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        return np.asarray(self.picture.reduce(OVERSAMPLING))

    def _pixels(self, *points: Point) -> list[Point]:
        return [(self.size[0] * float(x), self.size[1] * float(y)) for x, y in points]


def draw_sequence(subject: int, emotion: str, *, frames: int, size: int, strength: float = 1.0) -> np.ndarray:
    """(frames, size, size, 3) uint8: a face goes from rest to `strength` of an expression and back."""
    amounts = strength * np.sin(np.linspace(0, math.pi, frames))
    return np.stack([_face(subject, amount * np.array(EXPRESSIONS[emotion]), size) for amount in amounts])


def _face(subject: int, expression: np.ndarray, size: int) -> np.ndarray:
    brows, frown, eyes, smile, mouth = expression
    canvas = Canvas(size, size, (50, 70, 140))
    # Faces differ in colour and in width; co-prime periods make many subjects.
    hair, wide = HAIRS[(subject // 2) % len(HAIRS)], 0.27 + 0.025 * (subject % 3)
    canvas.ellipse((0.5, 0.42), (wide + 0.05, 0.38), hair)
    canvas.ellipse((0.5, 0.54), (wide, 0.37), SKINS[subject % len(SKINS)])
    for side in (-1, 1):
        x, opened = 0.5 + 0.12 * side, 0.03 * (1 + 0.7 * eyes)
        canvas.ellipse((x, 0.47), (0.05, opened), (250, 250, 250))
        canvas.ellipse((x, 0.47), (0.022, min(0.022, opened)), DARK)
        brow, tilt = 0.39 - 0.05 * brows, 0.035 * frown
        canvas.line(((x - 0.06 * side, brow + tilt), (x + 0.06 * side, brow - tilt)), hair, 0.025)
    canvas.line(((0.5, 0.5), (0.47, 0.62), (0.52, 0.62)), DARK, 0.012)
    across = np.linspace(-1, 1, 13)
    middle = 0.74 - 0.05 * smile + 0.07 * smile * (1 - across**2)
    gap = 0.045 * mouth * np.sqrt(1 - 0.98 * across**2)
    upper, lower = (list(zip(0.5 + 0.11 * across, middle + way * gap, strict=True)) for way in (-1, 1))
    canvas.polygon(upper + lower[::-1], (90, 20, 25))
    for lip in (upper, lower):
        canvas.line(lip, (170, 60, 60), 0.02)
    return canvas.pixels()


def draw_rally(seed: int, *, frames: int, height: int, width: int) -> np.ndarray:
    """(frames, height, width, 3) uint8: a player runs to and fro along the base line; `seed` says who and how."""
    phase, pace, reach = np.random.default_rng(seed).uniform((0, 0.12, 0.15), (2 * math.pi, 0.2, 0.3))
    video = np.empty((frames, height, width, 3), dtype=np.uint8)
    for time, frame in enumerate(video):
        canvas = Canvas(height, width, GRASS[seed % len(GRASS)])
        canvas.box((0.5, 0.04), (0.5, 0.04), (40, 60, 50))
        for line in (((0.05, 0.85), (0.95, 0.85)), ((0.14, 0.4), (0.86, 0.4)), ((0.5, 0.4), (0.5, 0.08))):
            canvas.line(line, (245, 245, 245), 1 / 64)
        for near, far in ((0.05, 0.2), (0.95, 0.8)):
            canvas.line(((near, 0.85), (far, 0.08)), (245, 245, 245), 1 / 64)
        x = 0.5 + reach * math.sin(phase + pace * time)
        y = 0.62 + 0.12 * math.sin(0.6 * (phase + pace * time))
        _player(canvas, x, y, time, SHIRTS[seed % len(SHIRTS)])
        frame[:] = canvas.pixels()
    return video


def _player(canvas: Canvas, x: float, y: float, time: int, shirt: Colour) -> None:
    """From the feet at (x, y) up, a third of the picture high, legs and racket in motion."""
    high = 0.3
    wide = high * canvas.size[1] / canvas.size[0]
    stride, swing = 0.22 * math.sin(0.9 * time), 0.6 * math.sin(0.35 * time)
    canvas.ellipse((x, y), (0.3 * wide, 0.05 * high), (40, 60, 40))
    for side in (-1, 1):
        canvas.line(((x, y - 0.45 * high), (x + side * stride * wide, y)), SKINS[0], 0.12 * high)
    canvas.box((x, y - 0.44 * high), (0.14 * wide, 0.06 * high), (250, 250, 250))
    canvas.box((x, y - 0.67 * high), (0.16 * wide, 0.18 * high), shirt)
    canvas.ellipse((x, y - 0.94 * high), (0.1 * wide, 0.11 * high), SKINS[0])
    hand, head = (
        (x + reach * wide * math.cos(swing), y - 0.7 * high + reach * high * math.sin(swing)) for reach in (0.42, 0.6)
    )
    canvas.line(((x + 0.14 * wide, y - 0.75 * high), hand), SKINS[0], 0.09 * high)
    canvas.ellipse(head, (0.12 * wide, 0.12 * high), DARK)


def draw_push(seed: int, *, frames: int, size: int) -> Trajectory:
    """A clip of any size and length: the arm wanders over the table; toys that it touches move with it."""
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
        frame[:] = _table(gripper[t], toys, closed=t // 8 % 2 == 1, size=size)
    position = np.concatenate([gripper, np.full((frames, 1), 0.2)], axis=1)
    action = np.concatenate([np.diff(gripper, axis=0, append=gripper[-1:]), np.zeros((frames, 2))], axis=1)
    return Trajectory(video, position.astype(np.float32), action.astype(np.float32))


def _table(gripper: np.ndarray, toys: np.ndarray, *, closed: bool, size: int) -> np.ndarray:
    canvas = Canvas(size, size, (90, 94, 100))
    canvas.polygon([(0.08, 0.3), (0.92, 0.3), (1, 1), (0, 1)], (196, 170, 138))
    for index, (toy, colour) in enumerate(zip(toys, TOYS, strict=True)):
        draw = canvas.ellipse if index % 2 else canvas.box
        radius = 0.05 + 0.01 * index
        draw((toy[0], toy[1]), (radius, radius), colour)
    x, y = gripper
    canvas.line(((0.5, -0.1), ((0.5 + x) / 2, 0.02), (x, y - 0.1)), (60, 60, 66), 0.09)
    canvas.box((x, y - 0.105), (0.06, 0.035), (170, 30, 35))
    for way in (-1, 1):
        finger = x + way * (0.02 if closed else 0.05)
        canvas.line(((finger, y - 0.08), (finger, y + 0.01)), (30, 30, 34), 0.025)
    return canvas.pixels()
