"""Sprites: 1296 characters walk, cast spells and slash.  [Li & Mandt, Disentangled Sequential Autoencoder, 2018]"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_modules.common.errors import UserError
from data_modules.shared.characters import ACTIONS, CharacterModule, character_name
from data_modules.sources.frames import resize
from data_modules.sources.lpc import FRAMES, RIGHTS, over
from data_modules.store.clip_source import Clip
from data_modules.store.format import Split

TRAINING_PART = 1000 / 1296


class Sprites(CharacterModule):
    """Characters of the Liberated Pixel Cup, 8 frames each: identity is the character, action one of 9.

    The split is that of Li & Mandt's generator: characters in the order of a permutation with seed 423, the first 1000
    for training, the other 296 for the test. The last few of the 1000 are for validation.

    Args:
        background: colour behind the characters; Li & Mandt's is black.
        validation_part: part of the training characters that are for validation.
    """

    name = "sprites"
    rights = f"{RIGHTS} Where the sheets were absent, characters drawn by vdsm-glass."

    def __init__(
        self,
        *,
        background: tuple[int, int, int] = (0, 0, 0),
        validation_part: float = 0.05,
        clip_length: int = FRAMES,
        **kwargs: Any,
    ) -> None:
        super().__init__(clip_length=clip_length, **kwargs)
        if not all(0 <= channel <= 255 for channel in background):
            raise UserError(f"sprites: background is {background}; expected red, green and blue, each 0 to 255.")
        self.background = background
        self.validation_part = validation_part
        self._check_part("validation_part")

    def source(self) -> dict[str, Any]:
        return {"background": self.background, "validation_part": self.validation_part}

    def split_sizes(self, characters: int) -> tuple[int, int]:
        training = round(TRAINING_PART * characters)
        validation = max(1, round(self.validation_part * training))
        return training - validation, validation

    def count(self, split: Split) -> int:
        return len(self.characters(split)) * len(ACTIONS)

    def units(self, split: Split) -> list[int]:
        return self.characters(split).tolist()

    def read_unit(self, unit: int) -> Iterator[Clip]:
        wardrobe = self.wardrobe()
        for label, (action, direction) in enumerate(ACTIONS):
            frames = over(wardrobe.clip(unit, action, direction), self.background)
            yield Clip(
                video=resize(frames, self.height, self.width),
                identity=unit,
                action=label,
                name=f"{character_name(wardrobe, unit)}, {action} {direction}",
            )
