"""`vdsm-glass play MODEL`: a trained model on a page of this machine, played by keyboard, mouse or touch."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.common.errors import UserError
from vdsm_glass.box.place import HOME, called, located, names
from vdsm_glass.commands.arguments import parse_with_data

if TYPE_CHECKING:
    from vdsm_glass.generate.vocabulary import Model
    from vdsm_glass.play.clips import Data

ABOUT = """MODEL is a checkpoint, runs/.../checkpoints/last.ckpt, a folder that `vdsm-glass export` wrote, a name that
`vdsm-glass models` lists, or hf://owner/name; without it, all that `models` lists are there to choose from. The clips
are the model's own, or come from the test split of the data that its run names; --data NAME, with that dataset's own
options behind it, takes other data."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.

    Raises: UserError, whatever keeps the page from opening; KeyboardInterrupt, Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="vdsm-glass play", description=ABOUT, allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", type=located, nargs="?", help="see above")
    parser.add_argument("--port", type=int, help="where the page is; any free port by default")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 127.0.0.1, this machine, by default")
    parser.add_argument("--no-browser", action="store_true", help="say where the page is, and do not open it")
    parser.add_argument("--data", metavar="NAME", help="a dataset, as for `vdsm-glass show`; its options follow")
    options, others = parse_with_data(parser, argv)
    if options.data is not None and options.model is None:
        parser.error("--data goes with a MODEL")
    if find_spec("nicegui") is None:
        raise UserError("playing needs NiceGUI, which is not installed: pip install -e '.[play]'")
    places = [HOME / name for name in names()] if options.model is None else [options.model]
    if not places:
        raise UserError("there are no models in the box; name a checkpoint: vdsm-glass play CKPT")
    for place in places:
        add_page(place, options.data, others, address="/" if place == places[0] else f"/{place.name}")

    from vdsm_glass.play.server import bind, serve

    serve(bind(options.port, options.host), browser=not options.no_browser)
    return 0


def add_page(path: Path, data: str | None, options: list[str], *, address: str = "/") -> None:
    """Adds the page of the model at `path`.

    Args: address, where the page is; every page links all that were added.
    Raises: UserError, the model or its data cannot be had.
    """
    import torch

    from vdsm_glass.play.page import SERVED
    from vdsm_glass.registry import imported

    # The browser and the server need the other half.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    model, clips = to_play(path, data, options)
    about = [called(path), getattr(clips, "name", ""), "{} x {}".format(*model.size) if model.size else ""]
    SERVED[address] = called(path)
    elsewhere = {} if address == "/" else {"address": address}
    imported(model.page)(model, clips, about=" · ".join(filter(None, about)), **elsewhere)


def to_play(path: Path, data: str | None, options: list[str]) -> tuple[Model, Data | None]:
    """The model at `path`, and `data_of` it.  Raises: UserError, the model or its data cannot be had."""
    from vdsm_glass.api import load

    model = load(path)
    return model, data_of(model, path, data, options)


def data_of(model: Model, path: Path, data: str | None, options: list[str]) -> Data | None:
    """The clips that the model at `path` is played with, or the dataset that has them; None where there are none."""
    from vdsm_glass.box.clips import read_clips
    from vdsm_glass.commands.clips import dataset
    from vdsm_glass.runs import run_of

    if data or run_of(path):
        return dataset(model, path, data, options)
    # An export may have no clips. Some pages can do without: people bring pictures of their own.
    return read_clips(path) or None
