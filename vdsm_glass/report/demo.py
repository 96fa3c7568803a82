"""`vdsm-glass demo`: trains both stages of VDSM on pendula, then writes a page that shows what they learned."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from data_modules.common.errors import UserError
from vdsm_glass.commands.arguments import whole_number
from vdsm_glass.metrics.results import RESULTS, ResultSet
from vdsm_glass.report.curves import draw_run
from vdsm_glass.report.html import Section, write_report

RECIPES = Path(__file__).resolve().parents[2] / "experiments" / "vdsm" / "compact"
STAGES = ("pretrain", "sequence")
LOSS = ["train/reconstruction", "train/kl_z"]
CURVES = {
    "pretrain": [*LOSS, "train/kl_s", "train/experts_used", "schedule/kl_z", "schedule/tau_s"],
    "sequence": [*LOSS, "train/kl_d", "train/loss", "schedule/kl_z", "schedule/kl_d"],
}


@dataclass(frozen=True)
class Goal:
    """The meaning of a number in results.json, and the least value at which the demo counts as working."""

    name: str
    meaning: str
    least: float | None = None


GOALS = (
    Goal("psnr", "PSNR of reconstructions through d alone, dB", least=25.0),
    Goal("identity_from_s", "identity, read from s by a linear probe", least=0.95),
    Goal("action_from_d", "action, read from d by a linear probe", least=0.8),
    Goal("swapped_identity", "identity that redrawn clips show after a swap, encoded again", least=0.9),
    Goal("swapped_action", "action that redrawn clips show after a swap, encoded again"),
    Goal("identity_from_d_on_val", "leak: identity, read from d in new clips of trained pairs"),
    Goal("chance_identity_on_val", "as much is told by the action alone"),
    Goal("action_from_s_on_val", "leak: action, read from s in new clips of trained pairs"),
    Goal("chance_action_on_val", "as much is told by the identity alone"),
    Goal("chance_identity", "identity by chance"),
    Goal("chance_action", "action by chance"),
)


def main(argv: list[str]) -> int:
    """Trains, tests and writes the report.  Args: argv, the command line behind `demo`."""
    parser = argparse.ArgumentParser(
        prog="vdsm-glass demo", description="Both stages of VDSM on simulated pendula, about five minutes on two cores."
    )
    parser.add_argument("--dir", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data (default: data)")
    parser.add_argument("--epochs", type=whole_number(), default=None, help="shorten both stages, to try the command")
    options = parser.parse_args(argv)
    missing = [stage for stage in STAGES if not recipe(stage).is_file()]
    if missing:
        raise UserError(f"{recipe(missing[0])}: there is no such recipe; run the demo from a clone of the repository")
    home = options.dir / "demo"
    seconds: dict[str, float] = {}
    for stage in STAGES:
        first = [] if stage == STAGES[0] else ["--model.pretrained", str(checkpoint(home / STAGES[0]))]
        began = time.monotonic()
        run("fit", stage, options, first)
        seconds[stage] = time.monotonic() - began
    run("test", STAGES[1], options, ["--ckpt_path", str(checkpoint(home / STAGES[1]))])
    report = write_report(home / "report.html", **content(home, seconds))
    for goal in GOALS:
        print("  ".join(row(goal, results(home)[goal.name])))
    print(f"pictures: {tested(home) / 'pictures'}\nreport:   {report}")
    return 0


def recipe(stage: str) -> Path:
    """The recipe of one stage."""
    return RECIPES / f"pendulum_{stage}.yaml"


def run(command: str, stage: str, options: argparse.Namespace, more: list[str]) -> None:
    """Runs `fit` or `test` of a stage in this process.  Raises: SystemExit with its code, unless that is 0."""
    from vdsm_glass.commands.train import main as train

    words = ["--run.dir", str(options.dir), "--run.name", f"demo/{stage}", "--data.root", str(options.root)]
    epochs = [] if options.epochs is None else ["--trainer.max_epochs", str(options.epochs)]
    logger = ["--trainer.logger", "callbacks.RunCSVLogger"]
    if code := train([command, "--config", str(recipe(stage)), *logger, *words, *epochs, *more]):
        what = "the test" if command == "test" else f"training of the {stage} stage"
        print(f"{what} ended with code {code}; the demo stops here")
        raise SystemExit(code)


def checkpoint(recipe_folder: Path) -> Path:
    """The last checkpoint of a recipe's newest run."""
    return (recipe_folder / "latest").resolve() / "checkpoints" / "last.ckpt"


def tested(home: Path) -> Path:
    """The folder of the second stage's newest test."""
    return home / STAGES[1] / "latest" / "test" / "latest"


def results(home: Path) -> dict[str, float]:
    """The numbers of the newest test of the second stage."""
    return ResultSet.read(tested(home) / RESULTS).values


def content(home: Path, seconds: dict[str, float]) -> dict:
    """The report's title, opening and sections."""
    measured = ResultSet.read(tested(home) / RESULTS)
    found, clips = measured.values, measured.results["psnr"].protocol.clips
    pictures = tested(home) / "pictures"
    curves = {
        stage: draw_run(home / stage / "latest" / "metrics.csv", columns, home / stage / "latest" / "curves.png")
        for stage, columns in CURVES.items()
    }
    return {
        "title": "VDSM on pendula",
        "about": f"Trained on this machine in {seconds['pretrain']:.0f} s (frames) and {seconds['sequence']:.0f} s "
        f"(dynamics), start-up, validation and pictures included. Everything below is from {clips} test "
        "clips, whose pairs of colour and swing were never seen in training.",
        "sections": [
            Section(
                "Everybody doing everything",
                "The identity of the left column, the motion of the top row. The model was trained on frames alone, "
                "without labels of colours or swings.",
                pictures=[pictures / "swap.gif"],
            ),
            Section(
                "Sixty frames ahead",
                "Top the real video, in the middle the poses of the guide, below those of the learned transition; the "
                "model saw the first 16 frames.",
                pictures=[pictures / "rollout.gif"],
            ),
            Section(
                "Actions transferred",
                "The dynamics of the same clips, unfolded to sixty frames on the same identities.",
                pictures=[pictures / "transfer.gif"],
            ),
            Section(
                "Clips of nobody in particular",
                "Identity, dynamics and first pose are drawn by chance.",
                pictures=[pictures / "samples_fitted.gif", pictures / "samples.gif"],
                captions=["from the density fitted to training clips", "from the prior"],
            ),
            Section(
                "Reconstruction", "Each clip above its reconstruction.", pictures=[pictures / "reconstruction.png"]
            ),
            Section(
                "Numbers",
                "Linear probes are fitted on the training split and read on the test split; for leaks on the "
                "validation split, because a probe that sees the action rules out an identity that never did it.",
                header=("what", "measured", "goal", ""),
                rows=[row(goal, found[goal.name]) for goal in GOALS],
            ),
            Section("Stage 1", "Frames: terms of the loss, and two of the schedules.", pictures=[curves["pretrain"]]),
            Section("Stage 2", "Dynamics, on frozen frames.", pictures=[curves["sequence"]]),
        ],
    }


def row(goal: Goal, value: float) -> tuple[str, ...]:
    """One line of the table of numbers."""
    if goal.least is None:
        return goal.meaning, f"{value:.3f}", "", ""
    return goal.meaning, f"{value:.3f}", f"{goal.least:g}", "reached" if value >= goal.least else "missed"
