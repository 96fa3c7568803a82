"""The options of commands that train side by side, here or on a cluster: `sweep` and `arena`."""

from __future__ import annotations

import argparse
from typing import Any

from data_modules.common.errors import UserError
from vdsm_glass.commands.arguments import CLUSTER_HELP, whole_number


def add_places(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Adds `--gpus`, `--jobs`, `--cluster` and `--resources`.  Args: what, which runs there, as in "trial"."""
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--gpus", type=gpus, default=[], metavar="0,1", help=f"one {what} at a time on each of these")
    side.add_argument("--jobs", type=whole_number(), metavar="N", help=f"how many {what}s to run at a time; 1")
    parser.add_argument("--cluster", metavar="ADDRESS", help=CLUSTER_HELP)
    parser.add_argument(
        "--resources",
        type=resource,
        nargs="+",
        default=[],
        metavar="GPU=1",
        help=f"what a {what} takes of the resources of a cluster's worker",
    )


def places_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, for `vdsm_glass.sweeps.runner.pool_of`.  Raises: UserError, options that exclude each other."""
    if chosen.gpus and chosen.cluster:
        raise UserError("--gpus names the GPUs of this machine; with --cluster, say --resources GPU=1")
    if chosen.resources and not chosen.cluster:
        raise UserError(
            "--resources are those of a cluster's workers; say with --cluster which, or take --gpus or --jobs"
        )
    resources = dict(chosen.resources)
    return {"gpus": chosen.gpus, "jobs": chosen.jobs, "cluster": chosen.cluster, "resources": resources}


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
