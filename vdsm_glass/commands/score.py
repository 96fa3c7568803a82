"""`vdsm-glass score REAL GENERATED`: how videos, whatever made them, compare with real ones."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_modules.common.errors import UserError
from data_modules.store.format import SPLITS
from vdsm_glass.commands.arguments import CLUSTER_HELP, frame_size, join_sizes, whole_number
from vdsm_glass.metrics.registry import DEFAULT_METRICS, METRICS, check_names
from vdsm_glass.metrics.results import MARKDOWN, RESULTS, ResultSet

EPILOG = f"""
REAL and GENERATED are folders of videos (mp4, webm, gif, avi), of folders of pictures (png, jpg), or clip stores. Clips
pair by their names below their folder; .gif, .mp4 and a folder of pictures of one name are a pair. Without pairs only
distributions are compared (fid, fvd, fmd). Metrics: {", ".join(METRICS)}. What cannot be computed says why.
"""


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    options = _parse(argv)
    weights = dict(map(_named_file, options.weights))
    check_names([*options.metrics, *weights])
    if options.out:  # before hours of scoring, not after them
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {options.out} cannot be made: {error.strerror}. Name another folder.") from error

    from data_modules.tools.video_sets import open_set
    from vdsm_glass.metrics.score import score

    real, generated = (open_set(folder, options.split) for folder in (options.real, options.generated))
    form = real.form(options.frames, options.size)
    book = ResultSet()
    with _progress() as progress:
        task = progress.add_task("clips", total=len(real) + len(generated))
        chosen = {name: getattr(options, name) for name in ("metrics", "stand_ins", "batch", "workers", "cluster")}
        on_clips = partial(progress.advance, task)
        book.add(*score(real, generated, form, weights=weights, on_clips=on_clips, **chosen))
    console = Console()
    book.show(console, title=f"{options.generated} against {options.real}")
    for remark in real.remarks + generated.remarks:
        console.print(remark, markup=False, highlight=False)
    if options.out:
        try:
            book.write(options.out)
        except OSError as error:
            raise UserError(f"{options.out} cannot be written: {error}. Name another folder with --out.") from error
        for file in (RESULTS, MARKDOWN):
            console.print(options.out / file, markup=False, highlight=False, soft_wrap=True)
    return 0


def _parse(argv: list[str]) -> Namespace:
    parser = ArgumentParser(
        prog="vdsm-glass score", description="How generated videos compare with real ones.", epilog=EPILOG
    )
    parser.add_argument("real", metavar="REAL", type=Path, help="folder of real videos")
    parser.add_argument("generated", metavar="GENERATED", type=Path, help="folder of generated ones")
    parser.add_argument(
        "--metrics", metavar="NAME", nargs="+", default=DEFAULT_METRICS, help=f"by default {' '.join(DEFAULT_METRICS)}"
    )
    by_metric = "files of weights by metric; by default those that `vdsm-glass weights fetch` fetched"
    parser.add_argument("--weights", metavar="NAME=PATH", nargs="+", default=[], help=by_metric)
    parser.add_argument("--stand-ins", action="store_true", help="random weights; numbers then have names of their own")
    parser.add_argument(
        "--frames", metavar="N", type=whole_number(), help="frames of each clip, from its beginning; all by default"
    )
    fitted = "the middle of each frame is made to fit; without it, all frames must have one size"
    parser.add_argument("--size", metavar="H W", type=frame_size, help=fitted)
    parser.add_argument("--batch", metavar="N", type=whole_number(), default=8, help="clips in memory at a time; 8")
    parser.add_argument("--workers", metavar="N", type=whole_number(), help="processes that score; by default this one")
    parser.add_argument("--cluster", metavar="ADDRESS", help=CLUSTER_HELP)
    parser.add_argument("--split", choices=SPLITS, default="test", help="of a clip store; test by default")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where {RESULTS} and {MARKDOWN} go")
    return parser.parse_args(join_sizes(argv))


def _named_file(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise UserError(f"--weights {text} names no metric and file; write it as NAME=PATH")
    if not Path(file).is_file():
        raise UserError(f"--weights {text}: {file} is not a file; expected the weights of {name}")
    return name, Path(file)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
