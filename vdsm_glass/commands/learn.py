"""`vdsm-glass learn VIDEOS`: looks at videos, trains GLASS on them within a time, and opens `play`."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from data_modules.common.errors import MissingSourceError, UserError
from data_modules.common.files import replacing, write_json
from vdsm_glass.learn import FINDINGS, LEARNED, PAGE
from vdsm_glass.runs import CHECKPOINTS, LATEST

if TYPE_CHECKING:
    from vdsm_glass.learn.plan import Plan

ENOUGH = 0.9
"""Share of the planned steps with which a training counts as done."""
ABOUT = """Looks at videos (a film, or a folder of films or of numbered pictures) of one agent before a fixed camera,
says what it sees, trains GLASS on them within the time that you name, shows what is learned on a page that refreshes by
itself, and opens `play`. Ctrl-C keeps what was learned, and the same command goes on."""
RECIPE, SEEN = "recipe.yaml", "seen.png"
TRIAL_STEPS = (3, 3, 4, 4, 4)
"""Of each phase, to measure how long a step takes."""


def main(argv: list[str]) -> int:
    """The command; `argv` follows its word.  Returns: 0, or the code of a training that was stopped.

    Raises: UserError, the videos cannot be read, or GLASS cannot work on them.
    """
    parser = argparse.ArgumentParser(prog="vdsm-glass learn", description=ABOUT, allow_abbrev=False)
    parser.add_argument("videos", metavar="VIDEOS", type=Path, help="a film, or a folder")
    parser.add_argument("--minutes", type=float, default=30.0, help="time for all of it (default: 30)")
    parser.add_argument("--dir", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of clip stores (default: data)")
    parser.add_argument("--name", help="of the run's folder; by default learn/ and the name of the videos")
    parser.add_argument("--look-only", action="store_true", help="say what is seen and would be chosen, and stop")
    parser.add_argument("--no-play", action="store_true", help="do not open `play` at the end")
    parser.add_argument("--no-browser", action="store_true", help="`play` says where its page is, and does not open it")
    options = parser.parse_args(argv)
    if not options.minutes > 0:
        parser.error(f"--minutes is {options.minutes}, expected more than 0")
    began = time.monotonic()
    name = options.name or f"learn/{options.videos.absolute().stem}"
    home = options.dir / name
    recipe = home / RECIPE
    again = goes_on(home, options)
    if not again:
        chosen = seen_and_chosen(options, home)
        if options.look_only:
            return 0
        write_recipe(options, home, name, chosen, began)
    run = ["--run.dir", str(options.dir), "--run.name", name, "--data.root", str(options.root)]
    print(f"what is learned so far: {(home / PAGE).absolute().as_uri()}", flush=True)

    from vdsm_glass.commands.train import main as train

    code = train(["fit", "--config", str(recipe), *(["--ckpt_path", "last"] if again else []), *run])
    checkpoint = home / LATEST / CHECKPOINTS / "last.ckpt"
    print(f"what was learned: {checkpoint}; the recipe, to go on by `vdsm-glass fit`: {recipe}")
    if code:
        print("stopped: the same command goes on")
        return code
    print(end=out_of_time(home))
    if options.no_play:
        return 0

    from vdsm_glass.commands.play import main as play

    return play([str(checkpoint.resolve()), *(["--no-browser"] if options.no_browser else [])])


def out_of_time(home: Path) -> str:
    """What is said where time was over long before the last planned step; nothing otherwise."""
    file = home / LATEST / LEARNED
    learned = json.loads(file.read_text("utf-8")) if file.is_file() else {"step": 0, "of": 0}
    if learned["step"] >= ENOUGH * learned["of"]:
        return ""
    return (
        f"time was over at step {learned['step']} of {learned['of']}: the machine was busier than when the plan was "
        "made. Drawing and local actions come last. Go on without a limit, until Ctrl-C, by\n"
        f"  vdsm-glass fit --config {home / RECIPE} --ckpt_path last --trainer.max_time null\n"
    )


def key_of(options: argparse.Namespace) -> str:
    """What a training depends on: the same words go on with it, others begin anew."""
    about = f"{options.videos.absolute()} {options.minutes:g}"
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def goes_on(home: Path, options: argparse.Namespace) -> bool:
    """Whether the newest training in `home` is one of this command, which is then gone on with."""
    if not (home / RECIPE).is_file() or options.look_only:
        return False
    first = (home / RECIPE).read_text("utf-8").splitlines()[0]
    latest = home / LATEST
    began = latest.is_symlink() and latest.lstat().st_mtime >= (home / RECIPE).stat().st_mtime
    return began and first == f"# {key_of(options)}"


def seen_and_chosen(options: argparse.Namespace, home: Path) -> Plan:
    """Looks at the videos, says what is seen and chosen, and writes it down with a picture.

    Raises: UserError, there are none, or GLASS cannot work on them.
    """
    from data_modules.shared.splits import by_folder
    from data_modules.sources.collection import find_videos
    from vdsm_glass.learn.look import draw_findings, look
    from vdsm_glass.learn.page import write_page
    from vdsm_glass.learn.plan import plan

    path: Path = options.videos
    if not path.exists():
        raise MissingSourceError(f"{path}: no such file or folder. Give a film, or a folder of films or pictures.")
    videos = find_videos(path)
    if not videos:
        raise MissingSourceError(f"{path} holds no videos; expected mp4, webm, gif, avi, png or jpg files.")
    seen, samples = look(videos)
    print("\n".join(seen.said()))
    picture = draw_findings(samples, seen, home / SEEN)
    if seen.refusal:
        raise UserError(f"{path}: {seen.refusal}. Look at {picture}: red is what differs from the picture at its right")
    shares = by_folder([video.name for video in videos], videos)
    chosen = plan(seen, minutes=options.minutes, folders=bool(shares["train"] and shares["test"]))
    print("\n".join(chosen.said()))
    findings = {"title": path.name, "said": [*seen.said(), *chosen.said()], "picture": str(picture)}
    write_json(findings, home / FINDINGS)
    write_page(home / PAGE, findings=findings, state="Measuring how long a step takes.")
    return chosen


def write_recipe(options: argparse.Namespace, home: Path, name: str, chosen: Plan, began: float) -> None:
    """Measures how long steps take here, and writes the recipe whose steps end in time."""
    from vdsm_glass.learn.plan import KINDS, recipe, steps_in

    trial = save(recipe(chosen, options.videos, home, steps=TRIAL_STEPS, page=False), home / "trial.yaml", "trial")
    seconds = seconds_of_steps(["--config", str(trial), "--data.root", str(options.root)], options, name)
    spent = (time.monotonic() - began) / 60
    steps = steps_in(seconds, minutes=max(options.minutes - spent, options.minutes / 4))
    for kind, count, each in zip(KINDS, steps, seconds, strict=True):
        print(f"{count} steps of {each:.2f} s: {kind}")
    print(f"{sum(n * s for n, s in zip(steps, seconds, strict=True)) / 60:.1f} minutes of training", flush=True)
    content = recipe(chosen, options.videos, home, steps=steps)
    left = timedelta(minutes=max(0.05, options.minutes - spent))
    content["trainer"]["max_time"] = (
        f"00:{left.seconds // 3600 + 24 * left.days:02}:{left.seconds // 60 % 60:02}:{left.seconds % 60:02}"
    )
    save(content, home / RECIPE, key_of(options))


def save(content: dict[str, Any], file: Path, key: str) -> Path:
    """Writes a recipe, its key as the first line."""
    with replacing(file) as temporary:
        temporary.write_text(f"# {key}\n{yaml.safe_dump(content, sort_keys=False)}", encoding="utf-8")
    return file


def seconds_of_steps(words: list[str], options: argparse.Namespace, name: str) -> list[float]:
    """The median seconds that a step of each phase takes, its first left out, in a training of `TRIAL_STEPS`.

    Raises: SystemExit, the training failed or was stopped.
    """
    from vdsm_glass.commands.train import main as train

    if code := train(["fit", *words, "--run.dir", str(options.dir), "--run.name", f"{name}/trial"]):
        raise SystemExit(code)
    times = json.loads((options.dir / name / "trial" / LATEST / "step_seconds.json").read_text("utf-8"))
    ends = [sum(TRIAL_STEPS[: phase + 1]) for phase in range(len(TRIAL_STEPS))]
    return [median(times[end - steps + 1 : end]) for steps, end in zip(TRIAL_STEPS, ends, strict=True)]
