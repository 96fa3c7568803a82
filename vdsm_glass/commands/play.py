"""`vdsm-glass play MODEL`: a trained model on a page of this machine, played by keyboard, mouse or touch."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.common.errors import UserError

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule
    from vdsm_glass.generate.vocabulary import Model

ABOUT = """MODEL is a checkpoint, runs/.../checkpoints/last.ckpt, or a folder that `vdsm-glass export` wrote. The clips
come from the test split of the data that its run names; --data NAME, with that dataset's own options behind it, takes
other data."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.

    Raises: UserError, whatever keeps the page from opening; KeyboardInterrupt, Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="vdsm-glass play", description=ABOUT, allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", type=Path, help="a checkpoint or an exported folder")
    parser.add_argument("--port", type=int, help="where the page is; any free port by default")
    parser.add_argument("--no-browser", action="store_true", help="say where the page is, and do not open it")
    parser.add_argument("--data", metavar="NAME", help="a dataset, as for `vdsm-glass show`; its options follow")
    options, others = parser.parse_known_args(argv)
    if others and options.data is None:
        parser.error(f"unrecognized arguments: {' '.join(others)} (options of a dataset follow its --data NAME)")
    if find_spec("nicegui") is None:
        raise UserError("playing needs NiceGUI, which is not installed: pip install -e '.[play]'")
    add_page(options.model, options.data, others)

    from vdsm_glass.play.server import bind, serve

    serve(bind(options.port), browser=not options.no_browser)
    return 0


def add_page(path: Path, data: str | None, options: list[str]) -> None:
    """Adds the page of the model at `path`.  Raises: UserError, the model or its data cannot be had."""
    import torch

    from vdsm_glass.registry import imported

    # The browser and the server need the other half.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    model, module = to_play(path, data, options)
    about = [str(path), module.name if module else "", "{} x {}".format(*model.size) if model.size else ""]
    imported(model.page)(model, module, about=" · ".join(filter(None, about)))


def to_play(path: Path, data: str | None, options: list[str]) -> tuple[Model, VideoDataModule | None]:
    """The model at `path`, and the data whose test clips it is played with.

    Raises: UserError, the model or its data cannot be had.
    """
    from vdsm_glass.api import load
    from vdsm_glass.commands.clips import dataset
    from vdsm_glass.runs import run_of

    model = load(path)
    # An exported folder names no data. Some pages can do without: people bring pictures of their own.
    module = dataset(model, path, data, options) if data or run_of(path) else None
    return model, module
