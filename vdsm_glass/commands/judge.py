"""`vdsm-glass judge NAME`: train a classifier of real clips, by which generated ones are scored."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveFloat, PositiveInt
from rich.console import Console
from rich.table import Table

from vdsm_glass.commands.arguments import parse
from vdsm_glass.commands.signatures import options_of
from vdsm_glass.processor import keep_freed_memory

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule
    from vdsm_glass.judge.judge import Judge

log = logging.getLogger(__name__)

TRUSTED = 0.9
"""Accuracy on test clips below which the command warns."""


def main(argv: list[str]) -> int:
    """Runs the command with the arguments `argv`.  Raises: UserError."""
    data, options = parse("judge", argv, _add_options)

    import torch

    from vdsm_glass.judge.judge import save_judge
    from vdsm_glass.judge.network import JudgeSizes
    from vdsm_glass.judge.training import train_judge

    if not torch.cuda.is_available():
        keep_freed_memory()
    # Plain numbers, because jsonargparse's types cannot be read back from the file.
    sizes = JudgeSizes(channels=tuple(int(width) for width in options.channels), rnn_dim=int(options.rnn_dim))
    judge = train_judge(
        data, sizes=sizes, epochs=options.epochs, learning_rate=options.learning_rate, recolour=options.recolour
    )
    path = save_judge(judge, options.out or Path("runs") / "judge" / f"{data.name}.pt")
    Console().print(table(judge, data))
    if poor := [head for head, accuracy in judge.accuracy.items() if accuracy < TRUSTED]:
        log.warning(
            "What this judge says of %s is worth little; train it for longer (--epochs), or with --recolour true if "
            "test clips pair identities and actions as no training clip does.",
            ", ".join(poor),
        )
    print(path)
    return 0


def table(judge: Judge, data: VideoDataModule) -> Table:
    """A row for each head: its accuracy on test clips, and that of always naming the commonest label."""
    from vdsm_glass.judge.labels import split_labels
    from vdsm_glass.metrics.disentanglement import chance

    wanted = judge.targets(split_labels(data, data.evaluation_dataset("test")))
    found = Table("label", title=f"the judge's accuracy on the test split, {judge.source_hash}")
    for heading in ("classes", "accuracy", "chance"):
        found.add_column(heading, justify="right")
    for head, accuracy in judge.accuracy.items():
        labels = wanted[head][wanted[head] >= 0]
        found.add_row(head, str(len(judge.classes[head])), f"{accuracy:.4f}", f"{chance(labels):.4f}")
    return found


def _add_options(parser: ArgumentParser) -> None:
    sizes = {option.name: option.default for option in options_of("vdsm_glass.judge.network.JudgeSizes")}
    parser.add_argument("--out", type=Path, help="file to write; runs/judge/NAME.pt by default")
    parser.add_argument("--epochs", type=PositiveInt, default=10, help="how many")
    parser.add_argument("--learning_rate", type=PositiveFloat, default=1e-3, help="the highest of one cycle")
    parser.add_argument(
        "--channels", type=PositiveInt, nargs="+", default=list(sizes["channels"]), help="outputs of the convolutions"
    )
    parser.add_argument(
        "--recolour", type=bool, default=False, help="learn actions from clips in random colours: right for pendulum"
    )
    parser.add_argument("--rnn_dim", type=PositiveInt, default=sizes["rnn_dim"], help="width of the bi-LSTM")
