"""`vdsm-glass models`: the trained models that ship with the package."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

ABOUT = """Lists the models of the box. Every command that takes a model takes their names: `vdsm-glass play NAME`."""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError, a file of the box is damaged."""
    argparse.ArgumentParser(prog="vdsm-glass models", description=ABOUT, allow_abbrev=False).parse_args(argv)

    from rich.console import Console
    from rich.table import Table

    from vdsm_glass.box.place import HOME, names

    table = Table("name", "kind", "data", "frames", "MB", "measured", box=None)
    for name in names():
        table.add_row(name, *row(HOME / name))
    Console().print(table)
    print(f"each has a page in {HOME}")
    return 0


def row(folder: Path) -> tuple[str, str, str, str, str]:
    """Kind, data, size of a frame, megabytes, and the numbers that stand for it."""
    from vdsm_glass.box.place import about

    said = about(folder)
    config, results = (
        json.loads((folder / file).read_text(encoding="utf-8")) for file in ("config.json", "results.json")
    )
    values = {result["name"]: result["value"] for result in results["results"]}
    size = "{} x {}".format(*config["frame_size"]) if config["frame_size"] else "any"
    megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    measured = ", ".join(f"{number} {values[number]:.4g}" for number in said["numbers"])
    return config["kind"], said["data"], size, f"{megabytes:.1f}", measured
