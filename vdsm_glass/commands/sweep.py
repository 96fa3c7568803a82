"""`vdsm-glass sweep FILE`: trains the trials of a sweep on this machine, without an account."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.common.errors import UserError
from vdsm_glass.commands.arguments import add_places, places_of, training_parser, whole_number
from vdsm_glass.sweeps.processes import behind_dashes, interpreter_line

if TYPE_CHECKING:
    from vdsm_glass.sweeps.definition import Sweep, Trial

ABOUT = """Trains the trials of a sweep as `wandb sweep FILE` and `wandb agent` would, side by side on this machine.
To go on after Ctrl-C, a kill or a failure, repeat the command: finished trials are not trained again. To share the
trials, give the same command in several processes, or on several machines with --runs in a folder that all see."""


def main(argv: list[str]) -> int:
    """Runs the command; `argv` follows its word.  Returns: 0, 1 if trials failed, 130 or 143 if stopped.

    Raises: UserError.
    """
    own, options = behind_dashes(argv)
    chosen = parser().parse_args(own)
    places_of(chosen)
    from vdsm_glass.sweeps.definition import read

    sweep = read(chosen.file)
    trials = sweep.trials(count=chosen.count, seed=chosen.seed)
    if not trials:
        raise UserError(f"{sweep.file}: there are no trials; --count takes 1 or more")
    if chosen.dry_run:
        if sweep.method == "bayes":
            print("bayes chooses trials by the results before them; these are drawn at random from the same ranges")
        for trial in trials:
            print(shlex.join(interpreter_line(line(sweep, trial, options, runs=chosen.runs))))
        return 0
    return run(sweep, trials, chosen, options)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    added_to = "trial's `vdsm-glass fit`: -- --trainer.max_epochs 8"
    parser = training_parser("sweep", ABOUT, usage="FILE", added_to=added_to)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a sweep, such as experiments/sweeps/glass/actions.yaml"
    )
    add_places(parser, what="trial")
    parser.add_argument("--count", type=whole_number(), help="the largest number of trials; random and bayes need it")
    parser.add_argument("--seed", type=int, default=0, help="the seed of random and bayes")
    parser.add_argument("--dry_run", action="store_true", help="print the command lines and train nothing")
    return parser


def line(sweep: Sweep, trial: Trial, options: list[str], *, runs: Path) -> list[str]:
    """A trial's command line behind `python -m vdsm_glass`; it resumes the trial's run if there is one."""
    where = ["--run.dir", str(runs), "--run.name", f"{sweep.name}/{trial.name}", "--ckpt_path", "last"]
    return [*sweep.arguments(trial, options), *where]


def run(sweep: Sweep, trials: list[Trial], chosen: argparse.Namespace, options: list[str]) -> int:
    """Checks all trials, trains those that have not ended, and shows the results of all."""
    from rich.console import Console
    from rich.table import Table

    from vdsm_glass.sweeps.check import check
    from vdsm_glass.sweeps.progress import SweepProgress
    from vdsm_glass.sweeps.runner import Runner, pool_of
    from vdsm_glass.sweeps.study import SweepStudy
    from vdsm_glass.sweeps.summary import draw, short_names, table

    study = SweepStudy(sweep, chosen.runs / sweep.name, trials, options=options, seed=chosen.seed)
    left = study.left()
    print(f"{sweep.name}: {len(trials)} trials, {len(trials) - left} done before; {sweep.metric}: {sweep.goal}")
    ended = {record.name for record in study.records() if record.status in ("done", "pruned")}
    if left:
        check(sweep, [trial for trial in trials if trial.name not in ended], options)
    with pool_of(**places_of(chosen)) as (pool, slots), SweepProgress(study.folder, trials=left) as progress:
        words = partial(line, sweep, options=options, runs=chosen.runs)
        code = Runner(study, words, pool=pool, slots=slots, total=left, say=progress.say, show=progress.show).run()
    records = study.records()
    header, rows = table(records, sweep.metric)
    shown = Table(*header)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
    if shares := study.importances():
        names = short_names(list(shares))
        print("importance:", ", ".join(f"{names[name]} {share:.0%}" for name, share in shares.items()))
    if picture := draw(records, sweep.metric, study.folder):
        print(f"picture: {picture}")
    return code
