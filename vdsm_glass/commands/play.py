"""`vdsm-glass play CKPT`: a trained model on a page of this machine, played by keyboard, mouse or touch."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from data_modules.base import VideoDataModule
from data_modules.common.errors import DataError, UserError

CLIPS, ROWS, COLUMNS = 8, 6, 6

ABOUT = """CKPT is a checkpoint of GLASS or of either stage of VDSM. What it is played with comes from the test split of
the data that its run names; --data NAME, with that dataset's own options behind it, takes other data."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.

    Raises: UserError, whatever keeps the page from opening; KeyboardInterrupt, Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="vdsm-glass play", description=ABOUT, allow_abbrev=False)
    parser.add_argument("checkpoint", metavar="CKPT", type=Path, help="runs/.../checkpoints/last.ckpt, for one")
    parser.add_argument("--port", type=int, help="where the page is; any free port by default")
    parser.add_argument("--no-browser", action="store_true", help="say where the page is, and do not open it")
    parser.add_argument("--data", metavar="NAME", help="a dataset, as for `vdsm-glass show`; its options follow")
    options, others = parser.parse_known_args(argv)
    if others and options.data is None:
        parser.error(f"unrecognized arguments: {' '.join(others)} (options of a dataset follow its --data NAME)")
    if find_spec("nicegui") is None:
        raise UserError("playing needs NiceGUI, which is not installed: pip install -e '.[play]'")
    add_page(options.checkpoint, options.data, others)

    from vdsm_glass.play.server import bind, serve

    serve(bind(options.port), browser=not options.no_browser)
    return 0


def add_page(checkpoint: Path, data: str | None, options: list[str]) -> None:
    """The page for what a checkpoint holds.  Raises: UserError."""
    import torch

    from vdsm_glass.glass.net import GLASS
    from vdsm_glass.play.loading import check_size, clips_to_play, data_of_run, load_network

    # The browser and the server need the other half.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    network = load_network(checkpoint)
    module = data_of_run(checkpoint) if data is None else named(data, options)
    check_size(network, module)
    about = f"{checkpoint} · {module.name} · {module.height} x {module.width}"
    if isinstance(network, GLASS):
        from vdsm_glass.play import page_glass

        try:
            clips = clips_to_play(module, by="identity", most=CLIPS)
        except DataError as error:
            print(f"vdsm-glass: playing without test clips: {error}", file=sys.stderr)
            clips = []
        page_glass.add(network, clips, size=(module.height, module.width), about=about)
        return
    from vdsm_glass.play import page_vdsm
    from vdsm_glass.play.session_vdsm import Board

    rows, columns = (clips_to_play(module, by=by, most=most) for by, most in (("identity", ROWS), ("action", COLUMNS)))
    identities, actions = (torch.stack([clip.video for clip in clips]) for clips in (rows, columns))
    board = Board(network, identities=identities, actions=actions)
    page_vdsm.add(board, rows=[clip.identity for clip in rows], columns=[clip.action for clip in columns], about=about)


def named(data: str, options: list[str]) -> VideoDataModule:
    """The dataset of --data.  Raises: UserError, there is none of that name."""
    from vdsm_glass.commands.arguments import parse

    return parse("play CKPT --data", [data, *options])[0]
