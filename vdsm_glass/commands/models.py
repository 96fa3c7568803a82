"""`vdsm-glass models`: the trained models that ship with the package."""

from __future__ import annotations

import argparse
import json

ABOUT = """Lists the models of the box. Every command that takes a model takes their names: `vdsm-glass play NAME`."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError, a file of the box is damaged."""
    argparse.ArgumentParser(prog="vdsm-glass models", description=ABOUT, allow_abbrev=False).parse_args(argv)

    from rich.console import Console
    from rich.table import Table

    from vdsm_glass.box.place import HOME, about, names
    from vdsm_glass.metrics.results import RESULTS, ResultSet

    table = Table("name", "kind", "data", "frames", "MB", "measured", box=None)
    for name in names():
        folder = HOME / name
        said, config = about(folder), json.loads((folder / "config.json").read_text(encoding="utf-8"))
        values = ResultSet.read(folder / RESULTS).values
        size = "{} x {}".format(*config["frame_size"]) if config["frame_size"] else "any"
        megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        measured = ", ".join(f"{number} {values[number]:.4g}" for number in said["numbers"])
        table.add_row(name, config["kind"], said["data"], size, f"{megabytes:.1f}", measured)
    Console().print(table)
    print(f"each has a page in {HOME}")
    return 0
