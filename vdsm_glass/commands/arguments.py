"""`NAME --option value ...` of `vdsm-glass prepare` and `show`: which dataset, and how it is set up."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from jsonargparse import ArgumentParser, Namespace

from data_modules import DATASETS
from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError, did_you_mean


def dataset_class(name: str) -> type[VideoDataModule]:
    """The module that `name` stands for.

    Raises: UserError, with the nearest name, where there is none.
    """
    if name not in DATASETS:
        raise UserError(f"{name!r} is no dataset{did_you_mean(name, DATASETS)}; there are {', '.join(DATASETS)}")
    module, _, attribute = DATASETS[name].rpartition(".")
    return getattr(import_module(module), attribute)


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
    kind = dataset_class(name)
    parser = ArgumentParser(prog=f"vdsm-glass {command} {name}", allow_abbrev=False)
    parser.add_argument("--tiny", action="store_true", help="a small copy that our code draws, to try things with")
    if add_options is not None:
        add_options(parser)
    of_dataset = parser.add_class_arguments(kind, skip={"tiny"})
    options = parser.parse_args(rest)
    return kind(tiny=options.tiny, **{key: options[key] for key in of_dataset}), options
