"""Walking, casting and slashing characters, drawn layer by layer into the cells of an LPC sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from data_modules.sources.lpc import ACTIONS, CELL, DIRECTIONS, SHEET_SIZE, STACK

Colour = tuple[int, int, int]

COLOURS: dict[str, Sequence[Colour]] = {
    "body": ((247, 210, 178), (214, 160, 105), (150, 160, 190), (180, 200, 150), (160, 105, 65), (110, 70, 50)),
    "bottomwear": ((235, 235, 235), (190, 40, 40), (60, 90, 160), (60, 110, 50), (230, 170, 60), (110, 100, 110)),
    "topwear": ((130, 30, 35), (40, 180, 200), (240, 230, 200), (120, 60, 150), (240, 140, 30), (70, 160, 80)),
    "hair": ((30, 190, 50), (70, 50, 210), (250, 150, 30), (240, 240, 245), (230, 60, 90), (150, 50, 200)),
    "shoes": ((120, 75, 45), (225, 190, 90), (90, 90, 100)),
}

SPELL_RAISE = (0.0, 0.3, 0.55, 0.75, 0.9, 1.0, 0.4)
SLASH_ANGLE = (75.0, -150.0, -65.0, -25.0, 15.0, 55.0)
"""Degrees below the horizontal, forward: the arm hangs, goes back over the head, and comes down."""
ARM = 13.0


@dataclass(frozen=True)
class Pose:
    """Positions (x, y) of the joints, in pixels of a cell: the head's (2,), each pair's (2, 2).

    `facing` is "left" where the character is seen from its side.
    """

    facing: str
    head: np.ndarray
    shoulders: np.ndarray
    hands: np.ndarray
    hips: np.ndarray
    feet: np.ndarray


def draw_sheet(layer: str, choice: int) -> Image.Image:
    """The `choice`-th sheet of a layer, 832 x 1344 RGBA: walk, spellcast and slash; the other rows stay empty."""
    sheet = Image.new("RGBA", SHEET_SIZE)
    for action, cells in ACTIONS.items():
        for direction in DIRECTIONS:
            for column in range(cells.drawn):
                row = cells.row + DIRECTIONS.index(direction)
                sheet.paste(draw_cell(layer, choice, action, direction, column), (column * CELL, row * CELL))
    return sheet


def draw_cell(layer: str, choice: int, action: str, direction: str, column: int) -> Image.Image:
    """One cell: a layer of a character at one moment of an action, 64 x 64 RGBA."""
    mirrored = direction == "right"
    pose = POSES[action](standing("left" if mirrored else direction), column)
    colour = COLOURS[layer][choice % len(COLOURS[layer])]
    picture = Image.new("RGBA", (CELL, CELL))
    PAINTERS[layer](ImageDraw.Draw(picture), pose, colour, choice)
    picture = _outlined(picture, colour)
    return ImageOps.mirror(picture) if mirrored else picture


def standing(facing: str) -> Pose:
    """The pose of a character that stands, arms down."""
    if facing == "left":
        joints = (31, 23), ((32, 36), (32, 36)), ((32, 48), (32, 48)), ((32, 47), (32, 47)), ((31, 59), (33, 59))
    else:
        joints = (32, 23), ((25, 36), (39, 36)), ((22, 48), (42, 48)), ((28, 47), (36, 47)), ((28, 59), (36, 59))
    return Pose(facing, *(np.array(joint, float) for joint in joints))


def _walk(pose: Pose, column: int) -> Pose:
    if column == 0:
        return pose
    phase = 2 * math.pi * (column - 1) / (ACTIONS["walk"].drawn - 1)
    swing, lift = math.cos(phase), math.sin(phase)
    sideways, signs = float(pose.facing == "left"), np.array([1, -1])
    forward = 8 * signs * swing * sideways
    feet = pose.feet - np.stack([forward, 4 * np.maximum(0, signs * lift)], axis=1)
    hands = pose.hands + np.stack([forward, 3 * signs * lift * (1 - sideways)], axis=1)
    return _moved(replace(pose, feet=feet, hands=hands), 0, -1 if abs(lift) > 0.5 else 0)


def _spellcast(pose: Pose, column: int) -> Pose:
    angle = math.radians(122 * SPELL_RAISE[column] + 12)
    side, reach = ([-1, -1], [ARM, ARM - 3]) if pose.facing == "left" else ([-1, 1], [ARM, ARM])
    arms = np.stack([np.multiply(side, reach) * math.sin(angle), np.array(reach) * math.cos(angle)], axis=1)
    return _moved(replace(pose, hands=pose.shoulders + arms), 0, -SPELL_RAISE[column])


def _slash(pose: Pose, column: int) -> Pose:
    angle = math.radians(SLASH_ANGLE[column])
    forward = -1 if pose.facing == "left" else 1
    hand = pose.shoulders[1] + ARM * np.array([forward * math.cos(angle), math.sin(angle)])
    lean = 0.0 if column == 0 else forward * (-2.0 if column == 1 else 1.5)
    return _moved(replace(pose, hands=np.stack([pose.hands[0], hand])), lean, 0)


def _moved(pose: Pose, right: float, down: float) -> Pose:
    """The pose with everything above the hips moved."""
    by = np.array([right, down])
    return replace(pose, head=pose.head + by, shoulders=pose.shoulders + by, hands=pose.hands + by)


POSES: dict[str, Callable[[Pose, int], Pose]] = {"walk": _walk, "spellcast": _spellcast, "slash": _slash}


def _body(draw: ImageDraw.ImageDraw, pose: Pose, colour: Colour, choice: int) -> None:  # noqa: ARG001
    for hip, foot in zip(pose.hips, pose.feet, strict=True):
        draw.line((*hip, *foot), fill=colour, width=5)
    _torso(draw, pose, colour)
    for shoulder, hand in zip(pose.shoulders, pose.hands, strict=True):
        draw.line((*shoulder, *hand), fill=colour, width=4)
        draw.ellipse((*(hand - 2.5), *(hand + 2.5)), fill=colour)
    x, y = pose.head
    draw.ellipse((x - 9, y - 10, x + 9, y + 10), fill=colour)
    eyes = {"front": (-4, 4), "left": (-6,), "back": ()}[pose.facing]
    for dx in eyes:
        draw.rectangle((x + dx - 1, y + 1, x + dx, y + 4), fill=(30, 30, 60))


def _bottomwear(draw: ImageDraw.ImageDraw, pose: Pose, colour: Colour, choice: int) -> None:
    length = (0.85, 0.5)[choice % 2]
    for hip, foot in zip(pose.hips, pose.feet, strict=True):
        draw.line((*hip, *(hip + length * (foot - hip))), fill=colour, width=6)
    (left, y), (right, _) = pose.hips
    draw.rectangle((left - 3, y - 4, right + 3, y + 2), fill=colour)


def _topwear(draw: ImageDraw.ImageDraw, pose: Pose, colour: Colour, choice: int) -> None:
    _torso(draw, pose, colour)
    sleeve = (0.75, 0.4)[choice % 2]
    for shoulder, hand in zip(pose.shoulders, pose.hands, strict=True):
        draw.line((*shoulder, *(shoulder + sleeve * (hand - shoulder))), fill=_darker(colour, 0.85), width=5)
    if choice % 3 == 1:  # a belt
        (left, y), (right, _) = pose.hips
        draw.rectangle((left - 3, y - 5, right + 3, y - 3), fill=_darker(colour, 0.5))


def _hair(draw: ImageDraw.ImageDraw, pose: Pose, colour: Colour, choice: int) -> None:
    x, y = pose.head
    draw.chord((x - 11, y - 13, x + 11, y + 11), 180, 360, fill=colour)
    long = 11 if choice % 2 else 3
    for left, right in {"back": ((-10, 10),), "left": ((1, 10),)}.get(pose.facing, ((-11, -8), (8, 11))):
        draw.rectangle((x + left, y - 3, x + right, y + long), fill=colour)
    for dx in range(-8, 9, 4) if choice % 3 == 0 else ():  # spikes
        draw.polygon(((x + dx - 3, y - 9), (x + dx, y - 17), (x + dx + 3, y - 9)), fill=colour)


def _shoes(draw: ImageDraw.ImageDraw, pose: Pose, colour: Colour, choice: int) -> None:  # noqa: ARG001
    toe = 2 if pose.facing == "left" else 0
    for x, y in pose.feet:
        draw.rectangle((x - 3 - toe, y - 2, x + 3 - toe, y + 2), fill=colour)


PAINTERS: dict[str, Callable[[ImageDraw.ImageDraw, Pose, Colour, int], None]] = dict(
    zip(STACK, (_body, _bottomwear, _topwear, _hair, _shoes), strict=True)
)


def _torso(draw: ImageDraw.ImageDraw, pose: Pose, colour: Colour) -> None:
    (left, top), (right, _) = pose.shoulders
    (hip_left, bottom), (hip_right, _) = pose.hips
    wide = 5 if pose.facing == "left" else 2
    draw.polygon(
        ((left - wide, top - 3), (right + wide, top - 3), (hip_right + 3, bottom), (hip_left - 3, bottom)), fill=colour
    )


def _darker(colour: Colour, by: float) -> Colour:
    return int(colour[0] * by), int(colour[1] * by), int(colour[2] * by)


def _outlined(picture: Image.Image, colour: Colour) -> Image.Image:
    """The picture with a dark rim, one pixel wide, around what is drawn."""
    rim = Image.new("RGBA", picture.size, (*_darker(colour, 0.4), 255))
    rim.putalpha(picture.getchannel("A").filter(ImageFilter.MaxFilter(3)))
    rim.alpha_composite(picture)
    return rim
