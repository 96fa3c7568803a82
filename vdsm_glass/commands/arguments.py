"""`NAME --option value ...` of `vdsm-glass prepare` and `show`: which dataset, and how it is set up."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from data_modules import DATASETS
from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass.commands.signatures import UnreadableError, options_of

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule


def dataset_class(name: str) -> type[VideoDataModule]:
    """The module that `name` stands for.  Raises: as `known`."""
    known(name)
    module, _, attribute = DATASETS[name].rpartition(".")
    return getattr(import_module(module), attribute)


def known(name: str) -> None:
    """Checks the name of a dataset.  Raises: UserError, with the nearest name, where there is none."""
    if name not in DATASETS:
        raise UserError(f"{name!r} is no dataset{did_you_mean(name, DATASETS)}; there are {', '.join(DATASETS)}")


def parse(
    command: str, argv: list[str], add_options: Callable[[ArgumentParser], None] | None = None
) -> tuple[VideoDataModule, Namespace]:
    """The dataset that `argv` names, set up as its options say, and the options of the command itself.

    Raises: UserError for a name that is none; SystemExit after --help, or for an option that is none.
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
    options = parser.parse_args(rest)
    return dataset_class(name)(tiny=options.tiny, **{key: options[key] for key in of_dataset}), options


def _add_options_of_dataset(parser: ArgumentParser, name: str) -> list[str]:
    """Adds what a dataset takes, and returns the names; imports the dataset only where its source does not say it."""
    try:
        of_dataset = [option for option in options_of(DATASETS[name]) if option.name != "tiny"]
    except UnreadableError:
        return parser.add_class_arguments(dataset_class(name), skip={"tiny"})
    for option in of_dataset:
        parser.add_argument(f"--{option.name}", type=option.type, default=option.default, help=option.help)
    return [option.name for option in of_dataset]
