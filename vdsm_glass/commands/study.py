"""`vdsm-glass study`: trains and tests a recipe with several seeds; a claim about a model is one over seeds."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev

from data_modules.common.errors import UserError
from data_modules.common.files import replacing
from vdsm_glass.commands.arguments import training_parser
from vdsm_glass.commands.table import run
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.sweeps.processes import behind_dashes, interpreter_line
from vdsm_glass.tables.runs import Stage, chain, newest_results

ABOUT = """Trains and tests a recipe once for every seed, and writes each number's mean, spread, least and most with
their seeds. What has results is not trained again; what was interrupted goes on. Of several --config files each is a
stage that starts from the one before. To use several processors, start it with other --seeds in each of several
terminals, and then once with all of them."""
FILE = "study.md"


def main(argv: list[str]) -> int:
    """Runs the command; `argv` follows its word.  Returns: 0, or the code of a training that failed or was stopped.

    Raises: UserError.
    """
    own, options = behind_dashes(argv)
    chosen = parser().parse_args(own)
    name = chosen.name or f"study/{'+'.join(recipe.stem for recipe in chosen.config)}"
    for recipe in chosen.config:
        if not recipe.is_file():
            raise UserError(f"{recipe}: there is no such recipe; they are under experiments/")
    folders = {seed: chosen.runs / name / f"seed_{seed}" for seed in chosen.seeds}
    for seed, folder in folders.items():
        if results_of(folder, chosen.config[-1]) is None and (code := train(chosen.config, folder, seed, options)):
            return code
    found = {seed: results for seed, f in folders.items() if (results := results_of(f, chosen.config[-1])) is not None}
    text = summary(found)
    with replacing(chosen.runs / name / FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{text}\n{chosen.runs / name / FILE}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    added_to = "`vdsm-glass fit` and `test`: -- --data.sheets DIR"
    parser = training_parser("study", ABOUT, usage="--config RECIPE [--config RECIPE ...]", added_to=added_to)
    parser.add_argument("--config", type=Path, action="append", required=True, metavar="RECIPE", help="of each stage")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N", help="by default 0 to 4")
    parser.add_argument("--name", help="of the study's folder in it; by default study/ and the recipes' names")
    return parser


def train(recipes: list[Path], folder: Path, seed: int, options: list[str]) -> int:
    """Trains all stages of one seed, and tests the last.  Returns: 0, or the code of the command that failed."""
    trainings = [Stage(name=recipe.stem, configs=(str(recipe),), epochs=None) for recipe in recipes]
    for words in chain(trainings, runs=folder, options=["--seed_everything", str(seed), *options]):
        line = interpreter_line(words)
        print(shlex.join(line), flush=True)
        if code := run(line):
            return code
    return 0


def results_of(folder: Path, recipe: Path) -> dict[str, float] | None:
    """The newest test's numbers by name, or None.  Raises: UserError, a results file is damaged."""
    file = newest_results(folder / recipe.stem)
    return ResultSet.read(file).values if file else None


def summary(found: Mapping[int, Mapping[str, float]]) -> str:
    """A table in Markdown: each number's mean, standard deviation, least and most, the seeds of these in brackets."""
    names = list(dict.fromkeys(name for results in found.values() for name in results))
    lines = [f"{len(found)} seeds: {', '.join(map(str, found))}. The standard deviation has n - 1 below.", ""]
    lines += ["| | mean | std | least | most |", "|---|---|---|---|---|"]
    for name in names:
        values = {seed: results[name] for seed, results in found.items() if name in results}
        low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
        spread = f"{stdev(values.values()):.4g}" if len(values) > 1 else "–"
        ends = " | ".join(f"{values[seed]:.4g} ({seed})" for seed in (low, high))
        lines.append(f"| {name} | {mean(values.values()):.4g} | {spread} | {ends} |")
    return "\n".join([*lines, ""])
