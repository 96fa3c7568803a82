"""What the commands' arguments have in common: numbers, sizes of frames, datasets, and where trainings run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from data_modules import DATASETS
from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass.commands.signatures import UnreadableError, options_of
from vdsm_glass.registry import imported

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule

CLUSTER_HELP = "Dask scheduler whose workers do it, such as tcp://host:8786; they must see the same folders"
SIZE_OPTIONS = ("--size", "--data.size", "--data.init_args.size")


def whole_number(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """An argument's type: a whole number from `least` to `most`."""

    def parse_number(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            expected = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {expected}")
        return int(text)

    return parse_number


def frame_size(text: str) -> tuple[int, int]:
    """An argument's type: `64`, for a square, or `[96, 128]`, as height and width."""
    match = re.fullmatch(r"\[?\s*(\d+)(?:\s*,\s*(\d+))?\s*\]?", text)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected 64, or height and width: 96 128")
    return height, width


def join_sizes(argv: Sequence[str]) -> list[str]:
    """The command line in which the two numbers of every `--size 96 128` are one word, which all parsers understand.

    >>> join_sizes(["--size", "96", "128", "--data.size", "64", "--clips", "1", "2"])
    ['--size', '[96, 128]', '--data.size', '64', '--clips', '1', '2']
    """
    joined: list[str] = []
    for word in argv:
        if joined[-2:-1] and joined[-2] in SIZE_OPTIONS and joined[-1].isdecimal() and word.isdecimal():
            joined[-1] = f"[{joined[-1]}, {word}]"
        else:
            joined.append(word)
    return joined


def known(name: str) -> None:
    """Checks the name of a dataset.  Raises: UserError, with the nearest name, where there is none."""
    if name not in DATASETS:
        raise UserError(f"{name!r} is not a dataset{did_you_mean(name, DATASETS)}; there are {', '.join(DATASETS)}")


def parse(
    command: str, argv: list[str], add_options: Callable[[ArgumentParser], None] | None = None
) -> tuple[VideoDataModule, Namespace]:
    """The dataset that `NAME --option value ...` sets up, and the options of the command itself.

    Raises: UserError for an unknown name; SystemExit after --help, or for an unknown option.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: vdsm-glass {command} NAME [--root DIR] [--tiny] ...\n\nNAME is one of {', '.join(DATASETS)};")
        print(f"`vdsm-glass {command} NAME --help` lists the options of each.")
        raise SystemExit(0 if argv else 2)
    name, *rest = argv
    known(name)
    parser = ArgumentParser(prog=f"vdsm-glass {command} {name}", allow_abbrev=False)
    parser.add_argument("--tiny", action="store_true", help="a small copy that our code draws, to try things with")
    if add_options is not None:
        add_options(parser)
    of_dataset = _add_options_of_dataset(parser, name)
    options = parser.parse_args(join_sizes(rest))
    return imported(DATASETS[name])(tiny=options.tiny, **{key: options[key] for key in of_dataset}), options


def _add_options_of_dataset(parser: ArgumentParser, name: str) -> list[str]:
    """Adds a dataset's options and returns their names. It imports the dataset only if its source does not say them."""
    try:
        of_dataset = [option for option in options_of(DATASETS[name]) if option.name != "tiny"]
    except UnreadableError:
        return parser.add_class_arguments(imported(DATASETS[name]), skip={"tiny"})
    for option in of_dataset:
        parser.add_argument(f"--{option.name}", type=option.type, default=option.default, help=option.help)
    return [option.name for option in of_dataset]


def parse_with_data(parser: argparse.ArgumentParser, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of a command that takes `--data NAME`, and those behind it, which are the dataset's."""
    options, others = parser.parse_known_args(argv)
    if others and options.data is None:
        parser.error(f"unrecognized arguments: {' '.join(others)} (options of a dataset follow its --data NAME)")
    return options, others


def training_parser(command: str, about: str, *, usage: str, added_to: str) -> argparse.ArgumentParser:
    """The parser of a command that starts trainings, to each of which it gives what stands behind `--`."""
    parser = argparse.ArgumentParser(
        prog=f"vdsm-glass {command}",
        description=about,
        allow_abbrev=False,
        usage=f"%(prog)s {usage} [option ...] [-- OPTIONS]",
        epilog=f"OPTIONS are added to every {added_to}",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs")
    return parser


def add_places(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Adds `--gpus`, `--jobs`, `--cluster` and `--resources`.  Args: what, which runs there, as in "trial"."""
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--gpus", type=gpus, default=[], metavar="0,1", help=f"one {what} at a time on each of these")
    side.add_argument("--jobs", type=whole_number(), metavar="N", help=f"how many {what}s to run at a time; 1")
    parser.add_argument("--cluster", metavar="ADDRESS", help=CLUSTER_HELP)
    taken = f"what a {what} takes of the resources of a cluster's worker"
    parser.add_argument("--resources", type=resource, nargs="+", default=[], metavar="GPU=1", help=taken)


def places_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, for `vdsm_glass.sweeps.runner.pool_of`.  Raises: UserError, options that exclude each other."""
    if chosen.gpus and chosen.cluster:
        raise UserError("--gpus names the GPUs of this machine; with --cluster, say --resources GPU=1")
    if chosen.resources and not chosen.cluster:
        raise UserError(
            "--resources are those of a cluster's workers; say with --cluster which, or take --gpus or --jobs"
        )
    return {name: getattr(chosen, name) for name in ("gpus", "jobs", "cluster")} | {"resources": dict(chosen.resources)}


def gpus(text: str) -> list[str]:
    """`0,1` as names for CUDA_VISIBLE_DEVICES."""
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different GPUs; write 0,1")
    return names


def resource(text: str) -> tuple[str, float]:
    """`GPU=1` as a name and a number."""
    name, _, number = text.partition("=")
    if not name or not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a resource of Dask's workers; write GPU=1")
    return name, int(number)
