"""Which clips `generate` and `play` show a trained model: files, or clips of a dataset."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.loading.clips import ClipDataset
from vdsm_glass.box.clips import read_clips
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.play.clips import NamedClip
from vdsm_glass.runs import CONFIG, run_of


def clips_for(model: Model, options: Namespace, data_options: list[str], *, count: int) -> list[Tensor]:
    """Videos (t, 3, h, w) as the model takes them.

    Args: options, the command's: model, videos, data, split, clips, frames; count, clips where none are named.
    Raises: UserError, which names what is missing or damaged.
    """
    if options.videos:
        if options.data or options.clips:
            raise UserError("videos are given, and --data or --clips; give either")
        return [model.read(path, most=options.frames) for path in options.videos]
    if options.data is None and (own := read_clips(options.model)):
        return clips_beside(model, options, own, count=count)
    module = dataset(model, options.model, options.data, data_options)
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


def clips_beside(model: Model, options: Namespace, own: list[NamedClip], *, count: int) -> list[Tensor]:
    """Of the clips that lie beside a model, those that are asked for, or `count` of them.  Raises: UserError."""
    wanted = options.clips or various(own, count)
    longest = len(own[0].video)
    if options.split != "test" or (options.frames or 0) > longest or not all(0 <= clip < len(own) for clip in wanted):
        raise UserError(
            f"{options.model} comes with {len(own)} test clips of {longest} frames, from 0 to {len(own) - 1}; choose "
            "--clips among them, or name a dataset: --data NAME"
        )
    return [model.read(own[clip].video, most=options.frames) for clip in wanted]


def various(clips: list[NamedClip], count: int) -> list[int]:
    """The positions of `count` clips, or of all, among which identities and actions repeat as little as they can."""
    chosen: list[int] = []
    while len(chosen) < min(count, len(clips)):
        who, what = ({getattr(clips[n], name) for n in chosen} for name in ("identity", "action"))

        def news(n: int, who: set[str] = who, what: set[str] = what) -> tuple[int, bool]:
            new = (clips[n].identity not in who, clips[n].action not in what)
            return sum(new), new[len(what) < len(who)]

        chosen.append(max((n for n in range(len(clips)) if n not in chosen), key=news))
    return sorted(chosen)


def dataset(model: Model, path: Path, name: str | None, options: list[str]) -> VideoDataModule:
    """The dataset of --data, by itself at the model's size, or else the one that the model's run was trained on.

    Args: path, of the model; options, those behind --data NAME.
    Raises: UserError, no dataset is named and the model lies in no run, or there is none of that name.
    """
    if name is not None:
        from vdsm_glass.commands.arguments import parse

        sized = any(word.split("=")[0] == "--size" for word in options)
        size = [] if sized or model.size is None else ["--size", str(list(model.size))]
        return parse("... --data", [name, *size, *options])[0]
    run = run_of(path)
    if run is None:
        raise UserError(
            f"{path}: lies in no run, so its data is not known; give videos (files, or folders of pictures) to "
            "`generate`, or name a dataset: --data NAME, its own options behind that"
        )
    return data_of_run(run)


def data_of_run(run: Path) -> VideoDataModule:
    """The dataset that a run was trained on, as its config.yaml sets it up.  Raises: UserError, it does not say."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data")
    try:
        data = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))["data"]
        return parser.instantiate_classes(parser.parse_object({"data": data}))["data"]
    except (ArgumentError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{run / CONFIG}: does not say which data to use ({' '.join(str(error).split())[:300]}); name it by --data"
        ) from error
