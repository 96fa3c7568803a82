"""`vdsm-glass export CKPT DIR`: a trained model as weights, sizes and a page about it, to keep or pass on."""

from __future__ import annotations

import argparse
from pathlib import Path

from vdsm_glass.box.place import located

ABOUT = """Writes weights.safetensors, config.json and README.md, a page that says what the model is, how well it does
and what it was trained on. `vdsm_glass.load(DIR)` and `vdsm-glass generate VERB DIR` read it."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    parser = argparse.ArgumentParser(prog="vdsm-glass export", description=ABOUT, allow_abbrev=False)
    parser.add_argument("checkpoint", metavar="CKPT", type=located, help="a checkpoint, or a name of `models`")
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder to write, which is not there yet")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload the folder to the Hugging Face Hub, too")
    options = parser.parse_args(argv)

    from vdsm_glass.export import export

    for file in sorted(export(options.checkpoint, options.folder).iterdir()):
        print(file)
    if options.push:
        from vdsm_glass.hub import push

        print(push(options.folder, options.push))
    return 0
