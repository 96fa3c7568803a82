"""Characters of the Liberated Pixel Cup: layers of clothing on sprite sheets, composed and cut into clips.

A sheet is 832 x 1344 pixels, 13 x 21 cells of 64 x 64. Every action has four rows, one for each direction; the cells of
a row are its frames from the left. One sheet is one layer: a body, trousers, a shirt, hair or shoes. A stack of layers
is a character.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from einops import rearrange
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.sources.frames import natural_key, read_picture

RIGHTS = (
    "Characters of the Liberated Pixel Cup (https://lpc.opengameart.org), as compiled in the Universal LPC Spritesheet"
    " (https://github.com/jrconway3/Universal-LPC-spritesheet). Their art is under CC-BY-SA 3.0"
    " (https://creativecommons.org/licenses/by-sa/3.0/) and GPL 3.0 (https://www.gnu.org/licenses/gpl-3.0.html), which"
    " require that its artists are named: Luke Mehl, Johannes Sjölund, Marcel van de Steeg, Manuel Riecke, Thane"
    " Brimhall, Matthew Krohn, Lori Angela Nagel, Lanea Zimmerman (Sharm), Stephen Challener (Redshrike), Daniel"
    " Eddeland, Shaun Williams, Joe White, Mark Weyer, Barbara Rivera, JRConway3, JaidynReiman, Nila122 and neo4cat6."
)
"""Whose the sheets are, in the order of their list of authors."""
CELL = 64
COLUMNS, ROWS = 13, 21
SHEET_SIZE = (COLUMNS * CELL, ROWS * CELL)
DIRECTIONS = ("back", "left", "front", "right")
"""Directions in the order of their rows."""

ATTRIBUTES = ("body", "bottomwear", "topwear", "hair")
"""The layers in which characters differ; the last one changes fastest in a character's number."""
STACK = (*ATTRIBUTES, "shoes")
"""The order in which layers are stacked."""


@dataclass(frozen=True)
class ActionCells:
    """An action on a sheet: its first row, how many cells it has, and which of them make a clip of 8 frames."""

    row: int
    drawn: int
    shown: tuple[int, ...]


ACTIONS: Mapping[str, ActionCells] = MappingProxyType(
    {
        # Stretched to 8 frames as Li & Mandt's generator does ("Disentangled Sequential Autoencoder", ICML 2018).
        # Cell 0 of walk shows the character standing, and is left out.
        "walk": ActionCells(row=8, drawn=9, shown=(8, 1, 2, 3, 4, 5, 6, 7)),
        "spellcast": ActionCells(row=0, drawn=7, shown=(0, 1, 2, 3, 4, 5, 4, 6)),
        "slash": ActionCells(row=12, drawn=6, shown=(0, 1, 2, 3, 4, 5, 4, 0)),
    }
)
FRAMES = 8


def read_sheet(path: Path) -> Image.Image:
    """One sheet as 832 x 1344 RGBA.

    Raises: DataError naming the file where it is not a picture or has another size.
    """
    sheet = read_picture(path, mode="RGBA")
    if sheet.size != SHEET_SIZE:
        raise DataError(
            f"{path}: is {sheet.width}x{sheet.height} pixels; an LPC sheet is {SHEET_SIZE[0]}x{SHEET_SIZE[1]}."
            " Take the sheet from the Universal LPC Spritesheet unchanged."
        )
    return sheet


def cut(sheet: Image.Image, action: str, direction: str) -> Image.Image:
    """The 8 frames of one action, one below the other: 64 x 512 RGBA."""
    cells = ACTIONS[action]
    top = (cells.row + DIRECTIONS.index(direction)) * CELL
    strip = Image.new("RGBA", (CELL, FRAMES * CELL))
    for frame, column in enumerate(cells.shown):
        left = column * CELL
        strip.paste(sheet.crop((left, top, left + CELL, top + CELL)), (0, frame * CELL))
    return strip


def over(rgba: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """α·colour + (1 - α)·background: (t, h, w, 4) uint8 -> (t, h, w, 3) uint8."""
    layer = Image.fromarray(rearrange(rgba, "t h w c -> (t h) w c"))
    picture = Image.new("RGBA", layer.size, (*background, 255))
    picture.alpha_composite(layer)
    return rearrange(np.asarray(picture.convert("RGB")), "(t h) w c -> t h w c", t=len(rgba))


class Wardrobe:
    """Every character that a folder of sheets can dress.

    A character is a number. Its digits, in the base of the number of sheets, are its body, bottomwear, topwear and
    hair. The real sheets, six of each, give 6^4 = 1296 characters with the numbers of Li & Mandt's generator.

    Args:
        folder: holds `body/ bottomwear/ topwear/ hair/ shoes/`, each with PNG sheets.
        choices: how many sheets of each attribute are used, the first in natural order of their names.
        shoes: which pair of shoes all characters wear, the last where there are fewer; the generator's is the second.
    Raises: DataError where a layer is missing.
    """

    def __init__(self, folder: Path, *, choices: int = 6, shoes: int = 1) -> None:
        self.folder = folder
        self.choices = choices
        self.chosen_shoes = shoes
        found = {layer: _sheets(folder, layer) for layer in STACK}
        self.sheets = {attribute: found[attribute][:choices] for attribute in ATTRIBUTES}
        self.shoes = found["shoes"][min(shoes, len(found["shoes"]) - 1)]
        self.shape = tuple(len(self.sheets[attribute]) for attribute in ATTRIBUTES)
        self._strips = lru_cache(maxsize=None)(self._cut_sheet)
        # Characters are read in the order of their numbers, in which only the hair changes from one to the next.
        self._undressed = lru_cache(maxsize=len(ACTIONS) * len(DIRECTIONS))(self._stack_below_hair)

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __reduce__(self) -> tuple[Callable[..., Wardrobe], tuple[Path]]:
        """Another process receives the options and cuts the sheets again."""
        return partial(Wardrobe, choices=self.choices, shoes=self.chosen_shoes), (self.folder,)

    def attributes(self, character: int | np.ndarray) -> dict[str, np.ndarray]:
        """Which sheet of each layer a character, or an array of them, wears."""
        return dict(zip(ATTRIBUTES, map(np.asarray, np.unravel_index(character, self.shape)), strict=True))

    def clip(self, character: int, action: str, direction: str) -> np.ndarray:
        """(8, 64, 64, 4) uint8: one character doing one action in place; alpha is its mask."""
        worn = {attribute: int(index) for attribute, index in self.attributes(character).items()}
        strip = self._undressed(worn["body"], worn["bottomwear"], worn["topwear"], action, direction)
        for sheet in (self.sheets["hair"][worn["hair"]], self.shoes):
            strip = Image.alpha_composite(strip, self._strips(sheet)[action, direction])
        return rearrange(np.asarray(strip), "(t h) w c -> t h w c", t=FRAMES)

    def fingerprint(self) -> str:
        """SHA-256 of the sheets that are used, in their order."""
        digest = hashlib.sha256()
        for sheet in (*(path for attribute in ATTRIBUTES for path in self.sheets[attribute]), self.shoes):
            digest.update(hashlib.sha256(sheet.read_bytes()).digest())
        return digest.hexdigest()

    def _cut_sheet(self, path: Path) -> dict[tuple[str, str], Image.Image]:
        sheet = read_sheet(path)
        return {(action, direction): cut(sheet, action, direction) for action in ACTIONS for direction in DIRECTIONS}

    def _stack_below_hair(self, body: int, bottomwear: int, topwear: int, action: str, direction: str) -> Image.Image:
        strip = self._strips(self.sheets["body"][body])[action, direction]
        for sheet in (self.sheets["bottomwear"][bottomwear], self.sheets["topwear"][topwear]):
            strip = Image.alpha_composite(strip, self._strips(sheet)[action, direction])
        return strip


def _sheets(folder: Path, layer: str) -> list[Path]:
    layer_folder = folder / layer
    sheets = sorted(layer_folder.glob("*.png"), key=natural_key) if layer_folder.is_dir() else []
    if not sheets:
        raise DataError(
            f"{layer_folder}: no PNG sheets there. A folder of LPC sheets holds {'/ '.join(STACK)}/"
            f" with sheets of {SHEET_SIZE[0]}x{SHEET_SIZE[1]} pixels."
        )
    return sheets
