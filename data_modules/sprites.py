"""Sprites: 1296 characters who walk, cast spells and slash.  [Li & Mandt, Disentangled Sequential Autoencoder, 2018]"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data_modules import tiny
from data_modules.base import Split, VideoDataModule
from data_modules.clips import Clip
from data_modules.errors import DataError, UserError
from data_modules.sources.frames import resize
from data_modules.sources.lpc import ATTRIBUTES, FRAMES, Wardrobe, over

log = logging.getLogger(__name__)

ACTIONS = tuple(
    (action, direction) for action in ("walk", "spellcast", "slash") for direction in ("front", "left", "right")
)
SPLIT_SEED = 423
TRAINING_PART = 1000 / 1296

STANDARD = {"body": 6, "bottomwear": 6, "topwear": 6, "hair": 6, "shoes": 2}
TINY = {"body": 3, "bottomwear": 3, "topwear": 2, "hair": 2, "shoes": 2}


class Sprites(VideoDataModule):
    """Characters of the Liberated Pixel Cup, 8 frames each: identity is the character, action one of 9.

    The split is the generator's of Li & Mandt: characters in the order of a permutation with seed 423, the first 1000
    for training, the other 296 for the test. Of the 1000 the last few are for validation.

    Args:
        sheets: folder of LPC sheets, `body/ bottomwear/ topwear/ hair/ shoes/`; by default `ROOT/lpc_sheets`, and where
            that is not there, characters that our code draws.
        background: colour behind the characters; theirs is black.
        validation_part: part of the training characters that are for validation.
    """

    name = "sprites"

    def __init__(
        self,
        *,
        sheets: str | None = None,
        background: tuple[int, int, int] = (0, 0, 0),
        validation_part: float = 0.05,
        clip_length: int = FRAMES,
        **kwargs: Any,
    ) -> None:
        super().__init__(clip_length=clip_length, **kwargs)
        if not 0 < validation_part < 1:
            raise UserError(f"sprites: validation_part is {validation_part}; expected between 0 and 1.")
        if not all(0 <= channel <= 255 for channel in background):
            raise UserError(f"sprites: background is {background}; expected red, green and blue, each 0 to 255.")
        if self.flip:
            raise UserError("sprites: flip would show a walk to the left as one to the right. Leave it off.")
        self.sheets = sheets
        self.background = background
        self.validation_part = validation_part

    @property
    def drawn(self) -> bool:
        """Whether the sheets are our own drawings, because none were given and none found."""
        return self.tiny or (self.sheets is None and not (self.root / "lpc_sheets").is_dir())

    @property
    def folder(self) -> Path:
        """Where the sheets are, or will be once `obtain` has drawn them."""
        if self.drawn:
            return self.root / "drawn" / f"lpc_sheets-{'tiny' if self.tiny else 'standard'}-{tiny.VERSION}"
        return self.root / "lpc_sheets" if self.sheets is None else Path(self.sheets)

    def wardrobe(self) -> Wardrobe:
        """All characters; raises DataError where there are no sheets."""
        return Wardrobe(self.folder)

    def obtain(self) -> None:
        if self.drawn:
            counts = TINY if self.tiny else STANDARD
            tiny.write_once(self.folder, lambda folder: tiny.write_lpc_sheets(folder, counts))

    def prepare_data(self) -> None:
        if self.drawn and not self.tiny:
            log.warning(
                "No LPC sheets in %s: these are NOT the Sprites of the papers but characters that our code draws. For"
                " the real ones put body/ bottomwear/ topwear/ hair/ shoes/ of https://github.com/YingzhenLi/Sprites"
                " there, or set --data.sheets.",
                self.root / "lpc_sheets",
            )
        super().prepare_data()

    def source(self) -> dict[str, Any]:
        sheets = f"drawn, version {tiny.VERSION}" if self.drawn else self.wardrobe().fingerprint()
        return {"sheets": sheets, "background": self.background, "validation_part": self.validation_part}

    def characters(self, split: Split) -> np.ndarray:
        """The numbers of the characters in `split`, in ascending order."""
        # RandomState, not a Generator: this permutation is the original generator's, character by character.
        order = np.random.RandomState(SPLIT_SEED).permutation(len(self.wardrobe()))
        training = round(TRAINING_PART * len(order))
        validation = max(1, round(self.validation_part * training))
        parts = {
            "train": order[: training - validation],
            "val": order[training - validation : training],
            "test": order[training:],
        }
        if not all(part.size for part in parts.values()):
            raise DataError(
                f"{self.folder}: its sheets make {len(order)} characters, too few to split. Add sheets to a layer."
            )
        return np.sort(parts[split])

    def count(self, split: Split) -> int:
        return len(self.characters(split)) * len(ACTIONS)

    def read(self, split: Split) -> Iterator[Clip]:
        wardrobe = self.wardrobe()
        for character in self.characters(split).tolist():
            for label, (action, direction) in enumerate(ACTIONS):
                frames = over(wardrobe.clip(character, action, direction), self.background)
                yield Clip(
                    video=resize(frames, self.height, self.width),
                    identity=character,
                    action=label,
                    name=f"{self.identity_names[character]}, {self.action_names[label]}",
                )

    def attributes(self, identity: np.ndarray) -> dict[str, np.ndarray]:
        """What a character is made of: for each of body, bottomwear, topwear and hair, which sheet it wears.

        No character is in two splits, but every sheet is: what to probe for where test identities are to be recognised.

        Args: identity: any shape, int. Returns: arrays of that shape by attribute.
        """
        return self.wardrobe().attributes(identity)

    @cached_property
    def identity_names(self) -> list[str]:
        """As "body 0 bottomwear 3 topwear 2 hair 5"."""
        worn = self.attributes(np.arange(len(self.wardrobe())))
        return [
            " ".join(f"{attribute} {sheet}" for attribute, sheet in zip(ATTRIBUTES, sheets, strict=True))
            for sheets in zip(*worn.values(), strict=True)
        ]

    @property
    def action_names(self) -> list[str]:
        """As "walk front"."""
        return [f"{action} {direction}" for action, direction in ACTIONS]
