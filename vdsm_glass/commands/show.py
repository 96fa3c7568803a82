"""`vdsm-glass show NAME`: draw clips of a dataset with their labels."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from data_modules.store.format import SPLITS
from vdsm_glass.commands.arguments import parse


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    module, options = parse("show", argv, _add_options)

    from data_modules.tools.show import show

    out = options.out or Path("runs") / "show" / module.name
    for path in show(module, out, split=options.split, clips=options.clips, frames=options.shown_frames):
        print(path)
    return 0


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="folder for the pictures; runs/show/NAME by default")
    parser.add_argument("--split", choices=SPLITS, default="train", help="which clips")
    parser.add_argument("--clips", type=PositiveInt, default=8, help="how many clips")
    parser.add_argument("--shown_frames", type=PositiveInt, default=24, help="how many frames of each")
