"""A trained judge and its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.common.files import replacing
from data_modules.store.format import source_hash
from vdsm_glass.architecture import UNFIT
from vdsm_glass.checkpoints import CheckpointError, misfits, read_whole, shortened
from vdsm_glass.judge.labels import Classes, targets
from vdsm_glass.judge.network import JudgeNetwork, JudgeSizes

FORMAT = "vdsm-glass judge"
VERSION = 1


@dataclass(frozen=True)
class Judge:
    """A classifier of the clips of one dataset.

    Args:
        network: in evaluation mode.
        classes: the label of each output, by head.
        source: the `source` in the manifest of the store whose clips it was trained on.
        frames: of a training clip.
        accuracy: on the test split, in [0, 1] by head.
    """

    network: JudgeNetwork
    classes: Classes
    source: dict[str, Any]
    frames: int
    accuracy: dict[str, float]

    @property
    def source_hash(self) -> str:
        """The hash of `source`, which also names the store's folder."""
        return source_hash(self.source)

    @torch.no_grad()
    def probabilities(self, video: Tensor) -> dict[str, Tensor]:
        """p(y | x) by head, each (b, classes).  Args: video (b, t, 3, h, w) in [0, 1], on the network's device."""
        return {head: logits.softmax(dim=-1) for head, logits in self.network(video).items()}

    def targets(self, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The right output, (n,) by head; -1 where there is none.  Args: labels (n,) by name."""
        return targets(labels, self.classes)

    def check(self, data: VideoDataModule) -> None:
        """Raises: UserError, the judge was trained on other clips than those of `data`."""
        here = data.store.manifest["source"]
        if here == self.source:
            return
        differs = [key for key in sorted(here.keys() | self.source.keys()) if here.get(key) != self.source.get(key)]
        shown = "; ".join(f"{key} {_short(self.source.get(key))} and here {_short(here.get(key))}" for key in differs)
        raise UserError(
            f"the judge has learned from other clips than those of {data.name} here: {shown}; train one on these, with "
            f"the same data options: vdsm-glass judge {data.name}"
        )


def save_judge(judge: Judge, path: Path) -> Path:
    """Writes the judge to `path`, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "sizes": asdict(judge.network.sizes),
        "classes": {head: list(labels) for head, labels in judge.classes.items()},
        "source": judge.source,
        "source_hash": judge.source_hash,
        "frames": judge.frames,
        "accuracy": judge.accuracy,
        "state_dict": judge.network.state_dict(),
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)
    return path


def load_judge(path: Path | str) -> Judge:
    """The judge in a file, on the CPU and in evaluation mode; no code from the file is run.

    Raises: CheckpointError, the file is missing, damaged, or not a judge.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such judge; train one: vdsm-glass judge NAME --out {path}")
    content = read_whole(path, mapped=False)
    found = (content.get("format"), content.get("version")) if isinstance(content, dict) else (None, None)
    if found != (FORMAT, VERSION):
        raise CheckpointError(
            f"{path}: says format {found[0]!r}, version {found[1]!r}; expected {FORMAT!r}, version {VERSION}; train a "
            f"judge: vdsm-glass judge NAME --out {path}"
        )
    try:
        classes = {head: tuple(labels) for head, labels in content["classes"].items()}
        with torch.device("meta"):  # sizes of a foreign file may ask for any memory
            network = JudgeNetwork(JudgeSizes(**content["sizes"]), {head: len(each) for head, each in classes.items()})
        problems = misfits(network.state_dict(), content["state_dict"])
        about = {name: content[name] for name in ("source", "frames", "accuracy")}
        if not problems:
            network.load_state_dict(content["state_dict"], assign=True)
    except UNFIT as error:
        raise CheckpointError(f"{path}: is no judge ({type(error).__name__}: {error}); train it again") from error
    if problems:
        raise CheckpointError(f"{path}: its weights are not those of its sizes: {shortened(problems)}; train it again")
    return Judge(network=network.eval(), classes=classes, **about)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 24 else f"{text[:20]}...{text[-1]}"
