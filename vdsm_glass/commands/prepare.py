"""`vdsm-glass prepare NAME`: build the clip store of a dataset ahead of training."""

from __future__ import annotations

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt
from rich.console import Console

from vdsm_glass.commands.arguments import CLUSTER_HELP, parse


def main(argv: list[str]) -> int:
    """The command; `argv` is what follows its word.  Raises: UserError."""
    module, options = parse("prepare", argv, _add_options)

    from data_modules.tools.prepare import prepare

    prepare(module, Console(), workers=options.workers, cluster=options.cluster)
    return 0


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=NonNegativeInt,
        help="processes that read clips; as many as cores, at most 8, by default, and on a cluster all",
    )
    parser.add_argument("--cluster", metavar="ADDRESS", help=CLUSTER_HELP)
