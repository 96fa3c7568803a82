"""`vdsm-glass table [NAME]`: shows our numbers beside the papers', and trains the rows that have none."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from data_modules.common.errors import UserError
from data_modules.common.files import replacing
from vdsm_glass.commands.arguments import training_parser
from vdsm_glass.sweeps.processes import POLL_SECONDS, behind_dashes, interpreter_line, stop_signals
from vdsm_glass.tables.published import BUDGETS, Table, names, read
from vdsm_glass.tables.render import as_html, as_markdown, draw, sheet
from vdsm_glass.tables.runs import commands, find_results

ABOUT = """Sets the results of our runs beside the numbers that the papers print. Without NAME: lists the tables."""


def main(argv: list[str]) -> int:
    """Runs the command; `argv` follows its word.  Returns: 0, 1 if a training failed, 130 or 143 if stopped.

    Raises: UserError.
    """
    own, options = behind_dashes(argv)
    chosen = parser().parse_args(own)
    if chosen.name is None:
        for name in names():
            table = read(name)
            print(f"{name:<14} {table.source}: {table.title}")
        return 0
    table = read(chosen.name)
    code = 0
    if chosen.run:
        code = train(table, chosen.run, runs=chosen.runs, options=options, dry_run=chosen.dry_run)
        if chosen.dry_run or code >= 128:
            return code
    elif options or chosen.dry_run:
        raise UserError(f"{'--dry_run' if chosen.dry_run else '--'} goes with --run {'|'.join(table.budgets)}")
    show(table, chosen)
    return code


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    added_to = "`vdsm-glass fit` and `test` of --run: -- --data.sheets DIR"
    parser = training_parser("table", ABOUT, usage="[NAME]", added_to=added_to)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a table, such as glass-1")
    parser.add_argument("--format", choices=("markdown", "html"), default="markdown", help="of the output")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write; by default Markdown is printed")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the table as a PNG")
    parser.add_argument(
        "--run", choices=BUDGETS, help="first train and test the rows that have no results at this budget"
    )
    parser.add_argument("--dry_run", action="store_true", help="with --run: print the commands and train nothing")
    return parser


def show(table: Table, chosen: argparse.Namespace) -> None:
    """Prints or writes the table, and its picture."""
    found = {name: find_results(table, row, runs=chosen.runs) for name, row in table.ours.items()}
    shown = sheet(table, found)
    picture = draw(table, found, chosen.plot) if chosen.plot else None
    if chosen.format == "html":
        out = chosen.out or chosen.runs / "tables" / f"{table.name}.html"
        print(as_html(table, shown, out, picture=picture))
    elif chosen.out:
        with replacing(chosen.out) as temporary:
            temporary.write_text(as_markdown(table, shown), encoding="utf-8")
        print(chosen.out)
    else:
        print(as_markdown(table, shown), end="")
    if picture:
        print(picture)


def train(table: Table, budget: str, *, runs: Path, options: list[str], dry_run: bool) -> int:
    """Trains and tests in turn the rows without results at this budget; after a failure it goes on with the next row.

    Returns: 0, 1 if a row failed, 130 or 143 if the user stopped it.
    """
    failed: list[str] = []
    table.budget(budget)
    missing = {
        name: row for name, row in table.ours.items() if find_results(table, row, runs=runs, budget=budget) is None
    }
    for name, row in missing.items():
        for words in commands(table, row, budget, runs=runs, options=options):
            line = interpreter_line(words)
            print(shlex.join(line), flush=True)
            code = 0 if dry_run else run(line)
            if code >= 128:
                return code
            if code:
                failed.append(name)
                said = f"{table.name}, {name}: failed with code {code}, see above; going on with the next"
                print(said, file=sys.stderr)
                break
    if not missing:
        print(f"{table.name}: every row has results at the {budget} budget", file=sys.stderr)
    return int(bool(failed))


def run(line: list[str]) -> int:
    """Runs a command and returns its exit code; the first Ctrl-C lets it save its state, a second ends it at once."""
    with stop_signals() as asked:
        process = subprocess.Popen(line, start_new_session=True)
        passed_on = 0
        while process.poll() is None:
            while len(asked) > passed_on:
                passed_on += 1
                process.send_signal(signal.SIGTERM if passed_on == 1 else signal.SIGKILL)
            time.sleep(POLL_SECONDS)
    return 128 + asked[0] if asked else process.wait()
