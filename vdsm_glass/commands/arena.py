"""`vdsm-glass arena DATA`: trains and tests every model that has a recipe for a dataset, and sets them side by side."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsm_glass.commands.arguments import add_places, known, places_of, training_parser, whole_number
from vdsm_glass.metrics.registry import DEFAULT_METRICS, check_names
from vdsm_glass.sweeps.processes import behind_dashes, interpreter_line

if TYPE_CHECKING:
    from vdsm_glass.arena.bouts import Bout

ABOUT = """Trains and tests every model that has a recipe experiments/MODEL/DATA/RUN.yaml, once for each seed, and
writes one page: their scores over the seeds, their pictures of the same clips, and whether they beat the trivial
models. A bout is one model with one seed; they are run one after the other, or as many at a time as --jobs or --cluster
says. To go on after Ctrl-C, a kill or a failure, repeat the command: what has results is not run again."""


def main(argv: list[str]) -> int:
    """Runs the command; `argv` follows its word.  Returns: 0, 1 if a run failed, 130 or 143 if stopped.

    Raises: UserError.
    """
    own, options = behind_dashes(argv)
    chosen = parser().parse_args(own)
    known(chosen.data)
    check_names(chosen.metrics)
    places = places_of(chosen)
    home: Path = chosen.runs / "arena" / chosen.data / chosen.run
    bouts = enter(chosen, options, home)
    if chosen.dry_run:
        for bout in bouts:
            for words in bout.lines:
                print(shlex.join(interpreter_line(words)))
        return 0
    code = fight(bouts, home, places)
    if any(bout.results for bout in bouts):
        from vdsm_glass.arena.page import write

        print(*write(f"Arena of {chosen.data}, {chosen.run}", bouts, home), sep="\n")
    return code


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    added_to = "`vdsm-glass fit` and `test`: -- --data.sheets DIR"
    parser = training_parser("arena", ABOUT, usage="DATA", added_to=added_to)
    parser.add_argument("data", metavar="DATA", help="a dataset, such as w_sprites")
    parser.add_argument("--run", default="compact", help="which recipes of it; `paper`: the papers' widths")
    parser.add_argument("--seeds", type=whole_number(), default=3, metavar="N", help="how many, from 0 (default: 3)")
    parser.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="by default all that have a recipe")
    parser.add_argument(
        "--metrics", nargs="+", default=list(DEFAULT_METRICS), metavar="NAME", help="of generated clips"
    )
    add_places(parser, what="bout")
    parser.add_argument("--dry_run", action="store_true", help="print the commands and run nothing")
    return parser


def enter(chosen: argparse.Namespace, options: list[str], home: Path) -> list[Bout]:
    """Every model with every seed: all models with the first seed come first."""
    from vdsm_glass.arena.bouts import Bout
    from vdsm_glass.arena.entries import find
    from vdsm_glass.arena.scores import PROTOCOLS

    bouts: list[Bout] = []
    entries = find(chosen.data, chosen.run, models=chosen.models)
    for seed in range(chosen.seeds):
        for entry in entries:
            asked = [name for name in PROTOCOLS if name in entry.model_class.protocols]
            # Some models copy the first frame, others draw it: it does not count.
            evaluation = [
                *("--evaluation.metrics", f"[{','.join(chosen.metrics)}]"),
                *("--evaluation.protocols", f"[{','.join(asked)}]"),
                *("--evaluation.leave_out", "1"),
            ]
            bouts.append(Bout(entry, seed, home / entry.name / f"seed_{seed}", options, evaluation))
    return bouts


def fight(bouts: list[Bout], home: Path, places: dict[str, Any]) -> int:
    """Runs what is missing.  Args: places, as `pool_of`.

    Returns: 0, 1 if one failed, 130 or 143 if the user stopped it.
    """
    from vdsm_glass.arena.fights import Fights
    from vdsm_glass.sweeps.progress import SweepProgress
    from vdsm_glass.sweeps.runner import pool_of

    left = [bout for bout in bouts if not bout.done()]
    print(f"{home}: {len(bouts)} bouts, {len(bouts) - len(left)} done before")
    if not left:
        return 0
    with pool_of(**places) as (pool, slots), SweepProgress(home, trials=len(left)) as progress:
        fights = Fights(left, pool=pool, slots=slots, say=progress.say, show=progress.show)
        code = fights.run()
    if fights.failed:
        print(f"{fights.failed} of {len(left)} bouts failed; repeat the command to try them again", file=sys.stderr)
    return code
