"""From a checkpoint to a network that can be played, and the test clips to play it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from vdsm_glass.architecture import Network, load_checkpoint
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.runs import CONFIG, run_of


@dataclass(frozen=True)
class NamedClip:
    """A clip of the test split.  Args: video (t, 3, h, w) in [0, 1]; identity and action, what to call them."""

    video: Tensor
    identity: str
    action: str


def load_network(path: Path) -> Network:
    """The network of a checkpoint, in evaluation mode, on the GPU where there is one.

    Raises: CheckpointError, the file is missing, cut short, foreign, or of no model that can be played.
    """
    return load_checkpoint(path)[1].to("cuda" if torch.cuda.is_available() else "cpu")


def data_of_run(checkpoint: Path) -> VideoDataModule:
    """The dataset that a checkpoint's run was trained on, as its config.yaml sets it up.

    Raises: UserError, the checkpoint lies in no run, or that file does not say.
    """
    run = run_of(checkpoint)
    if run is None:
        raise UserError(
            f"{checkpoint}: lies in no run, so its data is not known; name it: --data NAME, and its options behind that"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data")
    try:
        data = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))["data"]
        return parser.instantiate_classes(parser.parse_object({"data": data}))["data"]
    except (ArgumentError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{run / CONFIG}: does not say which data to use ({' '.join(str(error).split())[:300]}); name it by --data"
        ) from error


def check_size(network: Network, module: VideoDataModule) -> None:
    """Raises: UserError, the data has frames of a size that the network does not take."""
    found = (module.height, module.width)
    if isinstance(network, GLASS):
        multiple = LMASizes.FRAME_MULTIPLE
        if any(side % multiple for side in found):
            raise UserError(f"the data gives frames of {found}, expected multiples of {multiple}: --size '[96, 128]'")
        return
    sizes = network.sizes
    if found != (sizes.frame_size, sizes.frame_size):
        raise UserError(f"the data gives frames of {found}, the network takes {sizes.frame_size}: add --size")


def clips_to_play(module: VideoDataModule, *, by: str, most: int) -> list[NamedClip]:
    """Clips of the test split, no two of them of one identity, or of one action; the store is built if need be.

    Args: by, `identity` or `action`; most, how many.
    Raises: DataError, there are none.
    """
    module.prepare_data()
    dataset = module.evaluation_dataset("test")
    positions = different(labels_of(dataset.split, by)[dataset.usable], most)
    batch = dataset[positions].decoded()
    return [
        NamedClip(
            video=batch.video[i],
            identity=name(module.identity_names, int(batch.identity[i]), f"clip {int(batch.clip[i])}"),
            action=name(module.action_names, int(batch.action[i].reshape(-1)[0]), f"clip {int(batch.clip[i])}"),
        )
        for i in range(len(batch))
    ]


def labels_of(split: Any, by: str) -> np.ndarray:
    """One label a clip; of labels per frame, the first."""
    values = np.asarray(split.array(by))
    return values[split.first_rows] if split.columns[by].per == "frame" else values


def different(labels: np.ndarray, most: int) -> list[int]:
    """Positions of up to `most` different labels, from all of their range; all differ that are unknown (-1)."""
    known = np.where(labels < 0, np.arange(len(labels)) + labels.max(initial=0) + 1, labels)
    firsts = np.unique(known, return_index=True)[1]
    chosen = np.linspace(0, len(firsts) - 1, num=min(most, len(firsts))).round().astype(int)
    return [int(position) for position in firsts[chosen]]


def name(names: list[str], label: int, otherwise: str) -> str:
    """What to call a label."""
    return names[label] if 0 <= label < len(names) else otherwise
