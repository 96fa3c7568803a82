"""The command line: which word starts what, how errors look, which exit code they give. No logic."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from data_modules.common.errors import UserError, did_you_mean, of_the_system

SHOW_TRACEBACK = "VDSM_GLASS_TRACEBACK"


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    Args:
        runs: `module:function`, imported when the command is used; `function(argv: list[str]) -> int`.
        about: its line in `vdsm-glass --help`.
        word_first: whether the function takes the command's own word as its first argument.
    """

    runs: str
    about: str
    word_first: bool = False


COMMANDS = {
    "fit": Command("vdsm_glass.commands.fit:main", "train the model of a recipe", word_first=True),
    "validate": Command("vdsm_glass.commands.fit:main", "one pass over the validation split", word_first=True),
    "test": Command("vdsm_glass.commands.fit:main", "one pass over the test split", word_first=True),
    "predict": Command("vdsm_glass.commands.fit:main", "the model's outputs for a split", word_first=True),
    "prepare": Command("vdsm_glass.commands.prepare:main", "build the clip store of a dataset"),
    "show": Command("vdsm_glass.commands.show:main", "draw clips of a dataset with their labels"),
    "judge": Command("vdsm_glass.commands.judge:main", "train a classifier of real clips, which scores generated ones"),
    "score": Command("vdsm_glass.commands.score:main", "compare any two folders of videos: PSNR, LPIPS, FID, FVD, ..."),
    "weights": Command(
        "vdsm_glass.commands.weights:main", "list, fetch and check what metrics need of others' weights"
    ),
    "generate": Command(
        "vdsm_glass.commands.generate:main", "what a trained model makes of videos, as a file to look at"
    ),
    "export": Command("vdsm_glass.commands.export:main", "a trained model as weights, sizes and a page about it"),
    "models": Command("vdsm_glass.commands.models:main", "list the trained models that ship with the package"),
    "play": Command("vdsm_glass.commands.play:main", "play with a trained model on a page of this machine"),
    "learn": Command(
        "vdsm_glass.commands.learn:main", "look at videos of yours, train GLASS on them in a given time, play"
    ),
    "sweep": Command("vdsm_glass.commands.sweep:main", "train the trials of a sweep, side by side, without an account"),
    "study": Command("vdsm_glass.commands.study:main", "a recipe over several seeds: mean, spread, the worst"),
    "arena": Command("vdsm_glass.commands.arena:main", "every model on one dataset, over seeds, side by side"),
    "table": Command("vdsm_glass.commands.table:main", "the papers' tables: measured beside published"),
    "demo": Command("vdsm_glass.report.demo:main", "train both stages of VDSM on pendula and write a report"),
}

USAGE = """usage: vdsm-glass COMMAND ...        (`lightning COMMAND ...` is the same program)

{commands}

A recipe is a file under experiments/:  vdsm-glass fit --config experiments/vdsm/sprites_pretrain.yaml
Further --config files and dotted options override it; --print_config shows the result; COMMAND --help has the rest.
To go on after an interruption, repeat the command with --ckpt_path last.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 2 the user's error, 130 Ctrl-C, 143 SIGTERM."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return dispatch(argv)
    except (UserError, OSError) as error:
        said = of_the_system(error) if isinstance(error, OSError) else error
        if said is None or os.environ.get(SHOW_TRACEBACK):
            raise
        print(f"vdsm-glass: error: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def dispatch(argv: list[str]) -> int:
    """Starts the command that the first word names.  Raises: UserError, there is none of that name."""
    if not argv or argv[0] in {"-h", "--help"}:
        lines = (f"  {word:<10} {command.about}" for word, command in COMMANDS.items())
        print(USAGE.format(commands="\n".join(lines)), end="", file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    word, *rest = argv
    if word not in COMMANDS:
        raise UserError(f"{word!r} is not a command{did_you_mean(word, COMMANDS)}; `vdsm-glass --help` lists them")
    command = COMMANDS[word]
    module, _, function = command.runs.partition(":")
    return getattr(import_module(module), function)(argv if command.word_first else rest)
