"""`vdsm-glass sweep FILE`: trains the trials of a sweep on this machine, without an account."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from data_modules.common.errors import UserError
from vdsm_glass.commands.arguments import whole_number
from vdsm_glass.sweeps.definition import Sweep, Trial, interpreter_line, read
from vdsm_glass.sweeps.state import State, locked

ABOUT = """Trains the trials of a sweep as `wandb sweep FILE` and `wandb agent` would, side by side on this machine.
To go on after Ctrl-C, a kill or a failure, repeat the command: finished trials are not trained again."""


def main(argv: list[str]) -> int:
    """Runs the command; `argv` follows its word.  Returns: 0, 1 if trials failed, 130 or 143 if stopped.

    Raises: UserError.
    """
    own, options = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    chosen = parser().parse_args(own)
    sweep = read(chosen.file)
    trials = sweep.trials(count=chosen.count, seed=chosen.seed)
    if not trials:
        raise UserError(f"{sweep.file}: there are no trials; --count takes 1 or more")
    say_what_differs(sweep)
    lines = {trial.name: line(sweep, trial, options, runs=chosen.runs) for trial in trials}
    if chosen.dry_run:
        for words in lines.values():
            print(shlex.join(interpreter_line(words)))
        return 0
    folder = chosen.runs / sweep.name
    with locked(folder) as lock:
        state = State.read(folder, metric=sweep.metric, goal=sweep.goal)
        for trial in trials:
            state.take_in(trial.name, trial.values, lines[trial.name])
        return run(sweep, trials, state, chosen, options, lock)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="vdsm-glass sweep", description=ABOUT, allow_abbrev=False, usage="%(prog)s FILE [option ...] [-- OPTIONS]"
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a sweep, such as experiments/sweeps/glass/actions.yaml"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs")
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--gpus", type=gpus, default=[], metavar="0,1", help="one trial at a time on each of these")
    side.add_argument("--jobs", type=whole_number(), default=1, metavar="N", help="how many trials to train at a time")
    parser.add_argument("--count", type=whole_number(), help="the largest number of trials; random search needs it")
    parser.add_argument("--seed", type=int, default=0, help="the seed of random search")
    parser.add_argument("--dry_run", action="store_true", help="print the command lines and train nothing")
    parser.epilog = "OPTIONS are added to every trial's `vdsm-glass fit`: -- --trainer.max_epochs 8"
    return parser


def gpus(text: str) -> list[str]:
    """`0,1` as names for CUDA_VISIBLE_DEVICES."""
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different GPUs; write 0,1")
    return names


def say_what_differs(sweep: Sweep) -> None:
    """Prints where this differs from what W&B does."""
    if sweep.method == "bayes":
        print("only W&B has method bayes; here the trials are drawn at random from the same ranges")
    if sweep.stops_early:
        print("only W&B has early_terminate; here every trial trains to its end")


def line(sweep: Sweep, trial: Trial, options: list[str], *, runs: Path) -> list[str]:
    """A trial's command line behind `python -m vdsm_glass`; it resumes the trial's run if there is one."""
    where = ["--run.dir", str(runs), "--run.name", f"{sweep.name}/{trial.name}", "--ckpt_path", "last"]
    return [*sweep.arguments(trial, options), *where]


def run(
    sweep: Sweep, trials: list[Trial], state: State, chosen: argparse.Namespace, options: list[str], lock: int
) -> int:
    """Checks all trials, trains those that are not done, and shows the results of all."""
    from rich.console import Console
    from rich.table import Table

    from vdsm_glass.sweeps.check import check
    from vdsm_glass.sweeps.progress import SweepProgress
    from vdsm_glass.sweeps.runner import Runner, slots_of
    from vdsm_glass.sweeps.summary import draw, table

    names = [trial.name for trial in trials]
    todo = [name for name in names if state.trials[name].status != "done"]
    print(f"{sweep.name}: {len(names)} trials, {len(names) - len(todo)} done before; {sweep.metric}: {sweep.goal}")
    if todo:
        check(sweep, [trial for trial in trials if trial.name in todo], options)
        state.write()
    slots = slots_of(gpus=chosen.gpus, jobs=chosen.jobs)
    with SweepProgress(state.folder, trials=len(todo)) as progress:
        code = Runner(state, todo, slots=slots, lock=lock, say=progress.say, show=progress.show).run()
    header, rows = table(state, names)
    shown = Table(*header)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
    if picture := draw(state, names):
        print(f"picture: {picture}")
    return code
