"""`vdsm-glass learn VIDEOS`: looks at videos, trains GLASS on them within a time, and opens `play`."""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from data_modules.common.errors import MissingSourceError, UserError
from data_modules.common.files import replacing, write_json
from vdsm_glass.learn import FINDINGS, PAGE
from vdsm_glass.learn.page import settle
from vdsm_glass.runs import CHECKPOINTS, LATEST

if TYPE_CHECKING:
    from vdsm_glass.learn.plan import Plan

STOPPED = "Stopped: the same command goes on with the time that is left."
MOST_AFTER, SHARE_AFTER = 0.75, 0.15
"""Minutes that pictures and numbers take at the end, at most, and of a short time."""
ABOUT = """Looks at videos (a film, or a folder of films or of numbered pictures) of one agent before a fixed camera,
says what it sees, trains GLASS on them within the time that you name, shows what is learned on a page that refreshes by
itself, and opens `play`. Ctrl-C keeps what was learned, and the same command goes on."""
RECIPE, SEEN = "recipe.yaml", "seen.png"


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
        write_recipe(options, home, chosen, began)
    run = ["--run.dir", str(options.dir), "--run.name", name, "--data.root", str(options.root)]
    print(f"what is learned so far: {(home / PAGE).absolute().as_uri()}", flush=True)

    from vdsm_glass.commands.train import main as train

    try:
        code = train(["fit", "--config", str(recipe), *(["--ckpt_path", "last"] if again else []), *run])
    except BaseException:
        settle(home / PAGE, STOPPED)
        raise
    settle(home / PAGE, STOPPED if code else "")
    checkpoint = home / LATEST / CHECKPOINTS / "last.ckpt"
    print(f"what was learned: {checkpoint}; the recipe: {recipe}")
    if code:
        print(STOPPED)
        return code
    if options.no_play:
        return 0

    from vdsm_glass.commands.play import main as play

    return play([str(checkpoint.resolve()), *(["--no-browser"] if options.no_browser else [])])


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
    write_page(home / PAGE, findings=findings, state="Reading the videos.")
    return chosen


def write_recipe(options: argparse.Namespace, home: Path, chosen: Plan, began: float) -> None:
    """Writes the recipe that ends in time."""
    from vdsm_glass.learn.plan import KINDS, SHARES, recipe

    left = max(options.minutes - (time.monotonic() - began) / 60, options.minutes / 4)
    minutes = left - min(MOST_AFTER, SHARE_AFTER * left)
    print(
        f"{minutes:.1f} minutes of training:",
        ", ".join(f"{share:.0%} {kind}" for kind, share in zip(KINDS, SHARES, strict=True)),
        flush=True,
    )
    content = recipe(chosen, options.videos, home, minutes=minutes)
    with replacing(home / RECIPE) as temporary:
        words = yaml.safe_dump(content, sort_keys=False)
        temporary.write_text(f"# {key_of(options)}\n{words}", encoding="utf-8")
