"""What a trained model is shown on the command line: files, or clips of a dataset."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from data_modules.common.errors import UserError
from data_modules.loading.clips import ClipDataset
from vdsm_glass.generate.vocabulary import Model

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule


def clips_for(model: Model, options: Namespace, data_options: list[str], *, count: int) -> list[Tensor]:
    """Videos (t, 3, h, w) as the model takes them.

    Args: options, the command's: model, videos, data, split, clips, frames; count, clips where none are named.
    Raises: UserError, which names what is missing or damaged.
    """
    if options.videos:
        if options.data or options.clips:
            raise UserError("videos are given, and --data or --clips; give either")
        return [model.read(path, most=options.frames) for path in options.videos]
    module = dataset(model, options, data_options)
    module.prepare_data()
    part = module.store.split(options.split)
    length = options.frames or module.eval_clip_length
    clips = ClipDataset(part, length=length, stride=module.eval_stride, name=f"{module.name} {options.split}")
    usable = clips.usable.tolist()
    wanted = options.clips or [usable[i] for i in np.linspace(0, len(usable) - 1, num=count).round().astype(int)]
    if missing := [clip for clip in wanted if clip not in usable]:
        raise UserError(
            f"{module.name} has no {options.split} clip {missing[0]} of {length} frames: there are {len(usable)}, from "
            f"{usable[0]} to {usable[-1]}; choose --clips among them, or fewer --frames"
        )
    video = clips[[usable.index(clip) for clip in wanted]].decoded().video
    return [model.read(clip) for clip in video]


def dataset(model: Model, options: Namespace, data_options: list[str]) -> VideoDataModule:
    """The dataset of --data, by itself at the model's size, or else the one the model's run was trained on."""
    if options.data is not None:
        from vdsm_glass.commands.arguments import parse

        sized = any(word.split("=")[0] == "--size" for word in data_options)
        size = [] if sized or model.size is None else ["--size", str(list(model.size))]
        return parse("generate ... --data", [options.data, *size, *data_options])[0]
    path = Path(options.model)
    from vdsm_glass.runs import run_of

    if run_of(path) is None:
        raise UserError(
            f"{path}: lies in no run, so its data is not known; give videos (files, or folders of pictures) behind it, "
            "or name a dataset: --data NAME, its own options behind that"
        )
    from vdsm_glass.play.loading import data_of_run

    return data_of_run(path)
