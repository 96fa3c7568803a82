"""`vdsm-glass generate VERB MODEL`: what a trained model makes of videos, as a file to look at."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass.box.place import located
from vdsm_glass.commands.arguments import whole_number

if TYPE_CHECKING:
    from vdsm_glass.commands.verbs import Made

SPLITS = ("train", "val", "test")
PATIENCE = 5.0
"""Seconds after which a progress bar appears."""
MOST_STEPS = 10_000
"""Frames that can be made at once, because they have to fit into memory."""

ABOUT = """MODEL is a checkpoint, runs/.../checkpoints/last.ckpt, a folder that `vdsm-glass export` wrote, a name that
`vdsm-glass models` lists, or hf://owner/name. VIDEO is a film, a GIF or a folder of pictures, resized and cropped to
what the model takes; without one, the model's own clips or those of the data that its run names are taken, or with
--data NAME, that dataset's own options behind it, of another."""
ENDING = "FILE ends in .gif, .webp, .mp4, .png (time to the right) or .npz (the numbers)."


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Args: about, its line of help; options, what it takes beside the common ones; clips, how many videos it is shown
    by default; least, how many it needs, 0 for one that is shown none; most, how many it takes.
    """

    about: str
    options: tuple[str, ...] = ()
    clips: int = 4
    least: int = 1
    most: int | None = None


VERBS = {
    "reconstruct": Verb("videos taken apart and put together again; above, as they were"),
    "transfer": Verb("what happens in the first video, happening to who is in the others", ("steps",), 4, least=2),
    "swap": Verb("everybody (rows) doing everything (columns)"),
    "rollout": Verb("what happens in videos, going on for --steps frames", ("steps", "dynamics")),
    "interpolate": Verb(
        "from the first video's identity, or motion, to the second's", ("count", "of"), 2, least=2, most=2
    ),
    "sample": Verb("videos of nobody in particular, drawn by chance", ("count", "steps", "from"), clips=0, least=0),
    "actions": Verb("what each action does to the first frames of videos", ("steps", "kind", "pixels")),
}


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: vdsm-glass generate VERB MODEL [VIDEO ...] --out FILE [option ...]\n\n{ABOUT}\n{ENDING}\n")
        print("\n".join(f"  {name:<12} {verb.about}" for name, verb in VERBS.items()))
        print("\n`vdsm-glass generate VERB --help` lists the options of each.")
        return 0 if argv else 2
    name, *rest = argv
    if name not in VERBS:
        raise UserError(f"{name!r} cannot be generated{did_you_mean(name, VERBS)}; there are {', '.join(VERBS)}")
    options, data_options = parse(name, rest)
    if options.out is None:
        raise UserError(f"where to? add --out made.gif; {ENDING}")

    from vdsm_glass.media import check_place, save

    check_place(options.out)  # before any work is done
    made = make(name, options, data_options)
    for line in made.remarks:
        print(line)
    cells = made.result if options.plain or options.out.suffix == ".npz" else made.cells
    print(save(cells, options.out, fps=options.fps, **made.arrays))
    return 0


def make(name: str, options: argparse.Namespace, data_options: list[str]) -> Made:
    """Loads the model, reads the videos and makes what the verb asks for.  Raises: UserError."""
    from vdsm_glass.api import load
    from vdsm_glass.commands.clips import clips_for
    from vdsm_glass.commands.verbs import MAKE

    model, verb = load(options.model), VERBS[name]
    needed = {"actions": "action_matrix"}.get(name, name)
    if needed not in model.can:
        raise model.cannot(name)
    videos = clips_for(model, options, data_options, count=verb.clips) if verb.least else []
    if len(videos) < verb.least:
        found = f"{name} needs {verb.least} videos, found {len(videos)}"
        raise UserError(f"{found}; give them behind the model, or --clips")
    if verb.most is not None and len(videos) > verb.most:
        raise UserError(f"{name} takes {verb.most} videos, found {len(videos)}; leave out the others")
    with progress(f"{name} {options.model}") as steps:
        return MAKE[name](model, videos, options, steps)


def parse(name: str, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command's options, and those of the dataset, which follow its --data NAME."""
    verb = VERBS[name]
    shared = options_of(verb)
    whole = argparse.ArgumentParser(
        prog=f"vdsm-glass generate {name}",
        description=f"{verb.about[0].upper()}{verb.about[1:]}. {ABOUT}",
        epilog=ENDING,
        parents=[shared],
        allow_abbrev=False,
    )
    whole.add_argument("model", metavar="MODEL", type=located, help="see above")
    if verb.least:
        whole.add_argument(
            "videos", metavar="VIDEO", nargs="*", default=[], type=Path, help="files or folders; or see --data"
        )
    argv = [part for word in argv for part in (word.split("=", 1) if word.startswith("--data=") else [word])]
    at = argv.index("--data") + 2 if "--data" in argv else len(argv)
    options = whole.parse_intermixed_args(argv[:at])
    options.videos = getattr(options, "videos", [])
    return shared.parse_known_args(argv[at:], namespace=options)


def options_of(verb: Verb) -> argparse.ArgumentParser:
    """The parser of options that may stand on either side of --data NAME."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", metavar="FILE", type=Path, help="file to write")
    parser.add_argument(
        "--seed", type=whole_number(0, (1 << 63) - 1), default=0, help="of all that is random; same seed, same file"
    )
    parser.add_argument("--fps", type=whole_number(), default=8, help="frames a second of what is written")
    parser.add_argument("--plain", action="store_true", help="what was made alone, without what it was made of")
    if verb.least:
        parser.add_argument("--data", metavar="NAME", help="a dataset, as for `vdsm-glass show`; its options follow")
        parser.add_argument("--split", choices=SPLITS, default="test", help="of the dataset")
        parser.add_argument(
            "--clips", type=int, nargs="+", metavar="N", help="which of its clips, as `show` numbers them"
        )
        parser.add_argument("--frames", type=whole_number(), help="how many of each video are looked at")
    for option in verb.options:
        parser.add_argument(f"--{option}", **OPTIONS[option])
    return parser


def finite(text: str) -> float:
    """An argument's type: a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


FROM = "the density fitted to training clips, which is the default where the model carries one, or the prior"
OPTIONS: dict[str, dict[str, Any]] = {
    "steps": {"type": whole_number(most=MOST_STEPS), "help": "frames to make"},
    "count": {"type": whole_number(), "default": 7, "help": "how many videos"},
    "of": {"choices": ("identity", "motion"), "default": "identity", "help": "what goes over"},
    "dynamics": {
        "choices": ("posterior", "prior"),
        "default": "posterior",
        "help": "prior: draw poses by the transition",
    },
    "from": {"dest": "density", "choices": ("fitted", "prior"), "help": FROM},
    "kind": {"choices": ("local", "global"), "default": "local", "help": "actions, or shifts"},
    "pixels": {"type": finite, "help": "of a shift a step; by default width / 24"},
}


@contextmanager
def progress(what: str) -> Iterator[Callable[[Sequence[object]], Iterable[object]]]:
    """Gives a function that wraps a sequence; a bar shows the progress through it once that has taken a while."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    later = Timer(PATIENCE, bar.start)
    later.daemon = True
    later.start()
    try:
        yield lambda items: bar.track(items, description=what)
    finally:
        later.cancel()
        later.join()
        bar.stop()
