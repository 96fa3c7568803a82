"""Faces that change their expression, for the shape of MUG without its people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SKINS: tuple[Colour, ...] = ((240, 200, 170), (215, 165, 125), (190, 140, 105), (250, 215, 190))
HAIRS: tuple[Colour, ...] = ((60, 40, 30), (30, 30, 35), (170, 120, 60), (110, 60, 40))
BACKGROUND: Colour = (50, 70, 140)
DARK: Colour = (40, 25, 25)
OVERSAMPLING = 2


@dataclass(frozen=True)
class Expression:
    """How far an expression at its height moves a face from rest; 0 is at rest, 1 is far.

    brows up, brows together and down at the nose, eyes wide, corners of the mouth up, mouth open, nose wrinkled.
    """

    brows: float = 0.0
    frown: float = 0.0
    eyes: float = 0.0
    smile: float = 0.0
    mouth: float = 0.0
    nose: float = 0.0


EXPRESSIONS = {
    "anger": Expression(brows=-0.5, frown=1.0, eyes=-0.2, smile=-0.5),
    "disgust": Expression(brows=-0.4, frown=0.4, eyes=-0.6, smile=-0.7, mouth=0.2, nose=1.0),
    "fear": Expression(brows=0.7, frown=-0.9, eyes=0.8, smile=-0.4, mouth=0.5),
    "happiness": Expression(brows=0.2, eyes=-0.3, smile=1.0, mouth=0.4),
    "sadness": Expression(brows=0.1, frown=-1.0, eyes=-0.4, smile=-1.0),
    "surprise": Expression(brows=1.0, eyes=1.0, mouth=1.0),
    "neutral": Expression(),
}


def draw_sequence(subject: int, emotion: str, *, frames: int, size: int, strength: float = 1.0) -> np.ndarray:
    """(frames, size, size, 3) uint8: a face goes from rest to `strength` of an expression and back."""
    amounts = strength * np.sin(np.linspace(0, math.pi, frames))
    return np.stack([np.asarray(draw_face(subject, EXPRESSIONS[emotion], amount, size=size)) for amount in amounts])


def draw_face(subject: int, expression: Expression, amount: float, *, size: int) -> Image.Image:
    """One face, anti-aliased. `amount` is 0 at rest and 1 at the height of the expression."""
    canvas = size * OVERSAMPLING
    picture = Image.new("RGB", (canvas, canvas), BACKGROUND)
    draw = _Scaled(ImageDraw.Draw(picture), canvas)
    # Faces differ in colour and in width; co-prime periods make many subjects.
    skin, hair = SKINS[subject % len(SKINS)], HAIRS[(subject // 2) % len(HAIRS)]
    wide = 0.27 + 0.025 * (subject % 3)
    draw.ellipse((0.5, 0.42), (wide + 0.05, 0.38), hair)
    draw.ellipse((0.5, 0.54), (wide, 0.37), skin)
    for side in (-1, 1):
        _eye(draw, expression, amount, side, hair)
    nose = 0.62 - 0.02 * expression.nose * amount
    draw.line(((0.5, 0.5), (0.47, nose), (0.52, nose)), DARK, 0.012)
    _mouth(draw, expression, amount)
    return picture.resize((size, size), Image.Resampling.BOX)


def _eye(draw: _Scaled, expression: Expression, amount: float, side: int, hair: Colour) -> None:
    x, y = 0.5 + 0.12 * side, 0.47
    opened = 0.03 * (1 + 0.7 * expression.eyes * amount)
    draw.ellipse((x, y), (0.05, opened), (250, 250, 250))
    draw.ellipse((x, y), (0.022, min(0.022, opened)), DARK)
    brow = 0.39 - 0.05 * expression.brows * amount
    tilt = 0.035 * expression.frown * amount
    draw.line(((x - 0.06 * side, brow + tilt), (x + 0.06 * side, brow - tilt)), hair, 0.025)


def _mouth(draw: _Scaled, expression: Expression, amount: float) -> None:
    x = np.linspace(-0.11, 0.11, 13)
    bow = 0.07 * expression.smile * amount * (1 - (x / 0.11) ** 2)
    gap = 0.09 * expression.mouth * amount * np.sqrt(1 - (x / 0.111) ** 2)
    corners = 0.74 - 0.05 * expression.smile * amount
    upper = list(zip(0.5 + x, corners + bow - gap / 2, strict=True))
    lower = list(zip(0.5 + x, corners + bow + gap / 2, strict=True))
    draw.polygon(upper + lower[::-1], (90, 20, 25))
    draw.line(upper, (170, 60, 60), 0.02)
    draw.line(lower, (170, 60, 60), 0.02)


class _Scaled:
    """Draws in parts of the picture's size."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: int) -> None:
        self._draw = draw
        self._size = size

    def ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        (x, y), (dx, dy) = centre, radii
        self._draw.ellipse([self._size * value for value in (x - dx, y - dy, x + dx, y + dy)], fill=colour)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon(self._scaled(points), fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        self._draw.line(self._scaled(points), fill=colour, width=round(width * self._size), joint="curve")

    def _scaled(self, points: Sequence[Point]) -> list[Point]:
        return [(self._size * float(x), self._size * float(y)) for x, y in points]
