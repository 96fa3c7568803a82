"""What datasets of LPC characters share: where the sheets come from, which split a character is in, and names."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.base import VideoDataModule
from data_modules.common.errors import DataError, MissingSourceError, UserError
from data_modules.drawings import tiny
from data_modules.sources.lpc import Wardrobe
from data_modules.sources.remote_files import LPC_SHEETS
from data_modules.store.clip_source import Labels, StandIn
from data_modules.store.format import SPLITS, Split

ACTIONS = tuple(
    (action, direction) for action in ("walk", "spellcast", "slash") for direction in ("front", "left", "right")
)
SPLIT_SEED = 423

STANDARD = {"body": 6, "bottomwear": 6, "topwear": 6, "hair": 6, "shoes": 2}
TINY = {"body": 3, "bottomwear": 3, "topwear": 2, "hair": 2, "shoes": 2}
DRAWN = {"sheets": f"drawn, version {tiny.VERSION}"}


class CharacterModule(VideoDataModule):
    """Characters of the Liberated Pixel Cup: identity is the character, action one of the 9 in `ACTIONS`.

    Args:
        sheets: folder of LPC sheets, `body/ bottomwear/ topwear/ hair/ shoes/`; by default `ROOT/lpc_sheets`, or where
            that is missing, characters that our code draws.
        download: fetch missing sheets; by default `vdsm-glass prepare` does, and training does not.
    """

    def __init__(self, *, sheets: str | None = None, download: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.flip:
            raise UserError(f"{self.name}: flip would show a walk to the left as one to the right. Leave it off.")
        self.sheets = sheets
        self.download = download
        self._wardrobe: Wardrobe | None = None

    @property
    def drawn(self) -> bool:
        """Whether the sheets are our own drawings: the tiny copy, or because none were given and none found."""
        return self.tiny or (self.sheets is None and not self._sheets_folder.is_dir())

    @property
    def folder(self) -> Path:
        """Where the sheets are, or will be after `obtain` has drawn them."""
        if self.drawn:
            return self.root / "drawn" / f"lpc_sheets-{'tiny' if self.tiny else 'standard'}-{tiny.VERSION}"
        return self._sheets_folder

    @property
    def _sheets_folder(self) -> Path:
        return self.root / "lpc_sheets" if self.sheets is None else Path(self.sheets)

    @property
    def location(self) -> str:
        return self.sheets or "lpc_sheets"

    def wardrobe(self) -> Wardrobe:
        """All characters.  Raises: DataError where there are no sheets."""
        if self._wardrobe is None or self._wardrobe.folder != self.folder:
            self._wardrobe = Wardrobe(self.folder)
        return self._wardrobe

    def draw_tiny(self) -> None:
        tiny.write_once(self.folder, lambda folder: tiny.write_lpc_sheets(folder, TINY))

    def obtain(self) -> None:
        super().obtain()
        if self.drawn and not self.tiny:
            tiny.write_once(self.folder, lambda folder: tiny.write_lpc_sheets(folder, STANDARD))

    def fetch(self) -> bool:
        if self.sheets is not None and not self.download:
            return False  # the folder that was named may be misspelt
        LPC_SHEETS.fetch(self._sheets_folder)
        return True

    def stand_in(self) -> StandIn | None:
        if self.sheets is not None:
            return None
        return StandIn(
            DRAWN,
            f"No LPC sheets in {self._sheets_folder}: these are NOT the Sprites of the papers but characters"
            f" that our code draws. `vdsm-glass prepare {self.name}` downloads the real ones; or put body/ bottomwear/"
            f" topwear/ hair/ shoes/ of {LPC_SHEETS.page} there, or set --data.sheets.",
        )

    def fingerprint(self) -> dict[str, Any]:
        if self.tiny:
            return DRAWN
        if self.drawn or not self.folder.is_dir():
            raise MissingSourceError(
                f"There are no LPC sheets in {self._sheets_folder}. Put body/ bottomwear/ topwear/ hair/ shoes/ of"
                f" {LPC_SHEETS.page} there, or let --download true do it."
            )
        return {"sheets": self.wardrobe().fingerprint()}

    @abstractmethod
    def split_sizes(self, characters: int) -> tuple[int, int]:
        """How many of `characters` are for training and for validation; the rest are for the test."""

    def characters(self, split: Split) -> np.ndarray:
        """The numbers of the characters in `split`, the first, next or last of the permutation, in ascending order."""
        # RandomState, not a Generator: this permutation is Li & Mandt's generator's, character by character.
        order = np.random.RandomState(SPLIT_SEED).permutation(len(self.wardrobe()))
        parts = dict(zip(SPLITS, np.split(order, np.cumsum(self.split_sizes(len(order)))), strict=True))
        if not all(part.size for part in parts.values()):
            raise DataError(
                f"{self.folder}: its sheets make {len(order)} characters, too few to split. Add sheets to a layer."
            )
        return np.sort(parts[split])

    def describe_labels(self) -> Labels:
        """Characters as "body 0 bottomwear 3 topwear 2 hair 5", actions as "walk front".

        Attributes: for each of body, bottomwear, topwear and hair, which sheet a character wears. No character is in
        two splits, but sheets are in all of them, so that probes can look for these in test clips.
        """
        wardrobe = self.wardrobe()
        worn = wardrobe.attributes(np.arange(len(wardrobe)))
        return Labels(
            identity=[character_name(wardrobe, character) for character in range(len(wardrobe))],
            action=[" ".join(action) for action in ACTIONS],
            attributes={attribute: sheets.tolist() for attribute, sheets in worn.items()},
        )


def character_name(wardrobe: Wardrobe, character: int) -> str:
    """The name of a character, such as "body 0 bottomwear 3 topwear 2 hair 5"."""
    return " ".join(f"{attribute} {sheet}" for attribute, sheet in wardrobe.attributes(character).items())
