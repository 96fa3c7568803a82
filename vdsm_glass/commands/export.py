"""`vdsm-glass export CKPT DIR`: a trained model as a folder to keep or pass on, or with `--web DIR` as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from vdsm_glass.box.place import about, located
from vdsm_glass.commands.arguments import parse_with_data

ABOUT = """Writes weights.safetensors, config.json and README.md, a page that says what the model is, how well it does
and what it was trained on. `vdsm_glass.load(DIR)` and `vdsm-glass generate VERB DIR` read it. With --web DIR it writes
a page to play with instead, which any static host serves and the browser runs; it takes the same clips as
`vdsm-glass play`."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    parser = argparse.ArgumentParser(prog="vdsm-glass export", description=ABOUT, allow_abbrev=False)
    parser.add_argument("checkpoint", metavar="CKPT", type=located, help="a checkpoint, or a name of `models`")
    parser.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="folder to write, which is not there yet")
    parser.add_argument("--web", metavar="DIR", type=Path, help="folder of a page to write, which is not there yet")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload the folder to the Hugging Face Hub, too")
    parser.add_argument("--data", metavar="NAME", help="with --web: a dataset, as for `play`; its options follow")
    options, others = parse_with_data(parser, argv)
    if (options.folder is None) == (options.web is None):
        parser.error("give either DIR or --web DIR")
    if options.web is not None and options.push:
        parser.error("--push uploads an exported model, not a page: give DIR in place of --web DIR")
    if options.web is None and options.data is not None:
        parser.error("--data goes with --web: an export without it holds no clips")
    if options.web is not None:
        return write_page(options, others)

    from vdsm_glass.export import export

    for file in sorted(export(options.checkpoint, options.folder).iterdir()):
        print(file)
    if options.push:
        from vdsm_glass.hub import push

        print(push(options.folder, options.push))
    return 0


def write_page(options: argparse.Namespace, others: list[str]) -> int:
    """Writes the page, and says how large it is and how to look at it."""
    from vdsm_glass.api import load
    from vdsm_glass.commands.play import data_of
    from vdsm_glass.web.export import check, export_web

    model = load(options.checkpoint)
    check(model)  # before its data is prepared, which may take long
    data = data_of(model, options.checkpoint, options.data, others)
    said = about(options.checkpoint)
    of_clips = {"name": str(said.get("data", "")), "rights": str(said.get("rights", ""))}
    print("drawing what the page shows and writing its networks; this takes a minute or more", flush=True)
    folder = export_web(model, data, options.web, **of_clips)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    serve = f"python -m http.server --bind 127.0.0.1 --directory {folder}"
    print(f"{folder}: {size / 1e6:.1f} MB, for any static host; here: {serve}")
    return 0
