"""W-Sprites: characters walk about in front of a moving landscape, with every label.  [GLASS section 5, app. C]"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from einops import reduce

from data_modules.common.errors import UserError
from data_modules.drawings import tiny
from data_modules.drawings.landscapes import draw_valley
from data_modules.shared.characters import ACTIONS, CharacterModule, character_name
from data_modules.shared.walks import MOVES, random_walk
from data_modules.sources.frames import fit, read_picture
from data_modules.sources.lpc import CELL, FRAMES, RIGHTS
from data_modules.store.clip_source import Clip
from data_modules.store.format import Split

VERSION = 1
"""Part of the store's source: raise it when the same options give other clips."""

WALKING = {"left": "left", "right": "right", "up": "front", "down": "front"}
STAY = list(MOVES).index("stay")
WALKS = {list(MOVES).index(move): ACTIONS.index(("walk", direction)) for move, direction in WALKING.items()}
"""By move, the local action of a walking character."""
IN_PLACE = [label for label, (action, _) in enumerate(ACTIONS) if action != "walk"]
IN_PLACE_FRAMES = (4, 8)

SHORTEST_SIDE = 96
"""Pixels that the shorter side of a scene has at least, so that a character of 64 can walk in it."""
TINY_FRAMES = (16, 24)


class WSprites(CharacterModule):
    """LPC characters on a random walk in front of a landscape on another one; drawn here, so that labels are exact.

    Frame i shows the character after the move g_i: walking left or right, walking to the front for up or down, or for
    "stay" in one of the six in-place actions. `local_action[i]`, which is also `action[i]`, is what frame i shows, and
    what the transition from frame i - 1 to i is compared with; `foreground_shift[i]` is the move from frame i to i + 1.
    The first frame shows a g_0 that has moved nothing. Position is the middle of the character's cell.

    Where the frame's shorter side is less than 96 pixels, the scene is 2, 3, ... times as large and its pixels are
    averaged. Labels are reduced likewise: shifts become parts of pixels, a mask is every pixel the character touches.

    Args:
        background: picture, PNG or JPG, to walk in front of; by default one that our code draws. Its largest centred
            part that has the shape of the frame and `background_limit` pixels around it is made to fit.
        frames: fewest and most of a clip.
        clips_per_character: how many clips show each character.
        max_characters: take about so many characters instead of all, as many of each split in proportion.
        p_inertia: probability that the character's last move goes on.
        step: pixels of the scene that a character walks between two frames.
        background_p_inertia, background_step: the same for the landscape's walk.
        background_limit: pixels of the scene that the landscape is at most away from its middle, in each direction.
        simulation_seed: of the clips; `seed` is that of the training order.
    """

    name = "w_sprites"
    rights = f"{RIGHTS} Where the sheets were absent, characters drawn by vdsm-glass. Behind them, a moving picture."

    def __init__(
        self,
        *,
        background: str | None = None,
        frames: tuple[int, int] = (10, 90),
        clips_per_character: int = 1,
        max_characters: int | None = None,
        p_inertia: float = 0.9,
        step: int = 7,
        background_p_inertia: float = 0.95,
        background_step: int = 2,
        background_limit: int = 25,
        simulation_seed: int = 0,
        size: int | tuple[int, int] = (96, 128),
        clip_length: int = 12,
        **kwargs: Any,
    ) -> None:
        super().__init__(size=size, clip_length=clip_length, **kwargs)
        self.background = background
        self.frames = TINY_FRAMES if self.tiny else frames
        self.clips_per_character = clips_per_character
        self.max_characters = max_characters
        self.p_inertia = p_inertia
        self.step = step
        self.background_p_inertia = background_p_inertia
        self.background_step = background_step
        self.background_limit = background_limit
        self.simulation_seed = simulation_seed
        if not 1 <= self.frames[0] <= self.frames[1]:
            raise UserError(f"w_sprites: frames is {self.frames}; expected the fewest, at least 1, and then the most.")
        self._check_least(1, "clips_per_character", "max_characters", "step", "background_step")
        self._check_least(0, "background_limit", "simulation_seed")
        for option in ("p_inertia", "background_p_inertia"):
            if not 0 <= getattr(self, option) <= 1:
                raise UserError(f"w_sprites: {option} is {getattr(self, option)}; expected between 0 and 1.")

    @property
    def reduction(self) -> int:
        """How many times larger than a frame the scene is, each way."""
        return ceil(SHORTEST_SIDE / min(self.height, self.width))

    @property
    def walks(self) -> dict[str, tuple[float, float]]:
        """How far characters and landscape can walk, left to right and top to bottom, in pixels of the frame."""
        landscape = 2 * self.background_limit / self.reduction
        height, width = (side - CELL / self.reduction for side in (self.height, self.width))
        return {"foreground": (width, height), "background": (landscape, landscape)}

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"background": self._background_fingerprint()}

    def source(self) -> dict[str, Any]:
        return self._options("frames", "clips_per_character", "max_characters", "simulation_seed") | {
            "version": VERSION,
            "walk": [self.p_inertia, self.step],
            "background_walk": [self.background_p_inertia, self.background_step, self.background_limit],
        }

    def split_sizes(self, characters: int) -> tuple[int, int]:
        """8:1:1. With the real sheets, validation and test are both within the test of Sprites."""
        tenth = max(1, round(characters / 10))
        return characters - 2 * tenth, tenth

    def characters(self, split: Split) -> np.ndarray:
        chosen = super().characters(split)
        if self.max_characters is None:
            return chosen
        share = self.max_characters / len(self.wardrobe())
        kept = np.random.default_rng(0).permutation(len(chosen))[: max(1, round(share * len(chosen)))]
        return np.sort(chosen[kept])

    def count(self, split: Split) -> int:
        return len(self.characters(split)) * self.clips_per_character

    def units(self, split: Split) -> list[int]:
        return self.characters(split).tolist()

    def read_unit(self, unit: int) -> Iterator[Clip]:
        wardrobe, landscape = self.wardrobe(), self.landscape
        strips = np.stack([wardrobe.clip(unit, action, direction) for action, direction in ACTIONS])
        for number in range(self.clips_per_character):
            yield self.simulate(unit, number, strips, landscape)

    @cached_property
    def landscape(self) -> np.ndarray:
        """(h, w, 3) uint8: the picture behind the characters, large enough for all of the landscape's walk."""
        picture = draw_valley() if self.background is None else read_picture(Path(self.background))
        height, width = (side * self.reduction + 2 * self.background_limit for side in (self.height, self.width))
        return np.asarray(fit(picture, height, width))

    def simulate(self, character: int, number: int, strips: np.ndarray, landscape: np.ndarray) -> Clip:
        """Clip `number` of `character`, which depends on these and the options alone.

        Args: strips (9, 8, 64, 64, 4) uint8, the character's actions; landscape, see `landscape`.
        """
        generator = np.random.default_rng([self.simulation_seed, character, number])
        height, width = self.height * self.reduction, self.width * self.reduction
        frames = int(generator.integers(*self.frames, endpoint=True))
        walk = random_walk(
            generator,
            frames=frames,
            low=(0, 0),
            high=(width - CELL, height - CELL),
            step=self.step,
            p_inertia=self.p_inertia,
        )
        limit = self.background_limit
        camera = random_walk(
            generator,
            frames=frames,
            low=(-limit, -limit),
            high=(limit, limit),
            step=self.background_step,
            p_inertia=self.background_p_inertia,
        )
        labels, cells = animate(generator, walk.moves)
        views = [landscape[limit - y : limit - y + height, limit - x : limit - x + width] for x, y in camera.positions]
        video, mask = compose(strips[labels, cells], walk.positions, np.stack(views))
        factor = self.reduction
        return Clip(
            video=_shrink(video, factor),
            identity=character,
            action=labels,
            name=f"{character_name(self.wardrobe(), character)}, {number}",
            mask=reduce(mask, "t (h a) (w b) -> t h w", "max", a=factor, b=factor),
            foreground_shift=walk.shifts / factor,
            background_shift=camera.shifts / factor,
            local_action=labels,
            position=((walk.positions + CELL / 2) / factor - 0.5).astype(np.float32),
        )

    def _background_fingerprint(self) -> str:
        if self.background is None:
            return f"drawn, version {tiny.VERSION}"
        path = Path(self.background)
        if not path.is_file():
            raise UserError(f"w_sprites: the background {path} is not there. Give the path of a PNG or JPG picture.")
        return hashlib.sha256(path.read_bytes()).hexdigest()


def animate(generator: np.random.Generator, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p(local action | g): what a character does in each frame of a walk.  [GLASS section 5 and appendix C]

    A walking character keeps step around corners. A staying one does one of the six in-place actions, drawn uniformly,
    for 4 to 8 frames, then the next one, until the walk goes on.

    Args: moves (t,), positions in `MOVES`.
    Returns: local actions (t,) int64, positions in `ACTIONS`; and (t,) int64, which of an action's 8 frames is shown.
    """
    labels: list[int] = []
    shown: list[int] = []
    for staying, run in groupby(moves.tolist(), key=lambda move: move == STAY):
        frames = list(run)
        if staying:
            for length in _stays(generator, len(frames)):
                labels += [int(generator.choice(IN_PLACE))] * length
                shown += range(length)
        else:
            labels += [WALKS[move] for move in frames]
            shown += [frame % FRAMES for frame in range(len(frames))]
    return np.array(labels), np.array(shown)


def _stays(generator: np.random.Generator, frames: int) -> Iterator[int]:
    """How long each in-place action of a stay lasts: 4 to 8 frames, drawn uniformly; the last ends with the stay."""
    while frames > 0:
        length = min(frames, int(generator.integers(*IN_PLACE_FRAMES, endpoint=True)))
        yield length
        frames -= length


def compose(sprites: np.ndarray, corners: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """α·sprite + (1 - α)·view, the sprite with its top left corner at `corners`.

    Args: sprites (t, 64, 64, 4) uint8; corners (t, 2) int, (x, y); views (t, h, w, 3) uint8.
    Returns: video (t, h, w, 3) uint8; mask (t, h, w) uint8, 1 where α > 0.
    """
    video, mask = views.copy(), np.zeros(views.shape[:3], dtype=np.uint8)
    for sprite, (x, y), frame, covered in zip(sprites, corners.tolist(), video, mask, strict=True):
        place = np.s_[y : y + CELL, x : x + CELL]
        alpha = sprite[..., 3:].astype(np.uint16)
        frame[place] = (alpha * sprite[..., :3] + (255 - alpha) * frame[place] + 127) // 255
        covered[place] = sprite[..., 3] > 0
    return video, mask


def _shrink(video: np.ndarray, factor: int) -> np.ndarray:
    """(t, factor h, factor w, 3) uint8 -> (t, h, w, 3) uint8, the means of squares."""
    if factor == 1:
        return video
    mean = reduce(video.astype(np.float32), "t (h a) (w b) c -> t h w c", "mean", a=factor, b=factor)
    return np.rint(mean).astype(np.uint8)
