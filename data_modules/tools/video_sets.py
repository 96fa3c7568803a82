"""Sets of clips that `vdsm-glass score` compares: films, folders of pictures, or a clip store."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from data_modules.common.errors import DataError, MissingSourceError, UserError
from data_modules.sources.collection import Video, decode_frames, find_videos
from data_modules.sources.frames import fit
from data_modules.sources.video import SUFFIXES
from data_modules.store.format import MANIFEST, Split
from data_modules.store.reader import Store

MOST_FRAMES = 1024
"""Frames that a clip may have where the user does not say how many are scored; more might not fit into memory."""
SHOWN = 3
"""How many names a message lists."""
PIECE = re.compile(r"\[0:\d+\]$")


@dataclass(frozen=True)
class Form:
    """What all clips have in common.

    Args: given_frames, given_size: whether the user asked for them: longer clips are then cut, other sizes made to fit.
    """

    frames: int
    height: int
    width: int
    given_frames: bool
    given_size: bool


class VideoSet:
    """Clips in the order of their names. A clip is read at every request and not kept.

    Args: folder, where they are; names, of the clips; split, of a store; remarks, for the user.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, split: str = "", remarks: Sequence[str] = ()) -> None:
        self.folder = folder
        self.names = list(names)
        self.split = split
        self.remarks = list(remarks)

    def __len__(self) -> int:
        return len(self.names)

    def place(self, number: int) -> str:
        """Where a clip is, for messages."""
        raise NotImplementedError

    def pictures(self, number: int, most: int) -> Iterator[Image.Image]:
        """At most the first `most` frames of a clip, unchanged.  Raises: DataError naming what is damaged."""
        raise NotImplementedError

    def read(self, number: int, form: Form) -> Tensor:
        """(t, 3, h, w) float32 in [0, 1].  Raises: UserError naming the clip, if it does not have that form."""
        place, frames = self.place(number), []
        for picture in self.pictures(number, form.frames + (not form.given_frames)):
            if not form.given_size and picture.size != (form.width, form.height):
                raise UserError(
                    f"{place}: a frame is {picture.height} x {picture.width} (height x width), the first clip"
                    f" {form.height} x {form.width}. Say with --size {form.height} {form.width} that all are to be"
                    " made to fit."
                )
            frames.append(np.asarray(fit(picture, form.height, form.width)))
        if len(frames) < form.frames:
            raise UserError(f"{place}: has {len(frames)} frames, expected {form.frames}. Score fewer: --frames.")
        if len(frames) > form.frames:
            raise UserError(
                f"{place}: has more than the {form.frames} frames of the first clip. Say with --frames how many of each"
                " are to be scored."
            )
        return rearrange(torch.from_numpy(np.stack(frames)), "t h w c -> t c h w").float() / 255

    def form(self, frames: int | None, size: tuple[int, int] | None) -> Form:
        """The `frames` and `size` that were asked for; None is as the first clip has it.

        Raises: UserError where the first clip is too long; DataError where it is empty.
        """
        pictures = self.pictures(0, frames or MOST_FRAMES + 1)
        first = next(pictures, None)
        if first is None:
            raise DataError(f"{self.place(0)}: holds no frames. Take it away, or replace it.")
        shown = frames or 1 + sum(1 for _ in pictures)
        if frames is None and shown > MOST_FRAMES:
            raise UserError(f"{self.place(0)}: has over {MOST_FRAMES} frames. Say with --frames how many are scored.")
        height, width = size or (first.height, first.width)
        return Form(shown, height, width, given_frames=frames is not None, given_size=size is not None)


class VideoFiles(VideoSet):
    """Videos below a folder, as `find_videos` finds them.  Raises: UserError where it is missing or holds none."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "is not there"
            raise MissingSourceError(
                f"{folder} {what}; expected a folder of videos (mp4, webm, gif, avi), one of folders of pictures (png,"
                f" jpg), or a clip store ({MANIFEST})"
            )
        left_out: Counter[str] = Counter()
        self.videos: list[Video] = find_videos(folder, left_out)
        if not self.videos:
            raise MissingSourceError(
                f"{folder} holds no videos; expected mp4, webm, gif or avi files, or folders of png or jpg pictures"
            )
        reasons = [f"{folder}: left out {count} {reason}" for reason, count in left_out.most_common()]
        super().__init__(folder, [video.name for video in self.videos], remarks=reasons)

    def place(self, number: int) -> str:
        return str(self.videos[number].path)

    def pictures(self, number: int, most: int) -> Iterator[Image.Image]:
        return decode_frames(self.videos[number].path, stop=most)


class StoredVideos(VideoSet):
    """A split of a clip store.  Raises: DataError where it is damaged or not ours, or the split is empty."""

    def __init__(self, folder: Path, split: Split) -> None:
        self.clips = Store.open(folder, None).split(split)
        if not len(self.clips):
            raise DataError(f"{folder}: its {split} split holds no clips; choose another with --split")
        super().__init__(folder, self.clips.names, split=split)

    def place(self, number: int) -> str:
        return f"{self.folder}, clip {self.names[number]!r} of {self.split}"

    def pictures(self, number: int, most: int) -> Iterator[Image.Image]:
        length = min(most, int(self.clips.lengths[number]))
        for frame in self.clips.frames(number, 0, length):
            yield Image.fromarray(rearrange(frame, "c h w -> h w c").copy())


def open_set(folder: Path, split: Split) -> VideoSet:
    """The clips in a folder, or those in `split` of a clip store.  Raises: UserError where there are none."""
    return StoredVideos(folder, split) if (folder / MANIFEST).is_file() else VideoFiles(folder)


def stem(name: str) -> str:
    """A clip's name without suffix and range of frames: `a.mp4`, `a.gif` and a store's `a.mp4[0:16]` become `a`.

    >>> [stem(name) for name in ("more/a.mp4", "more/a", "more/a.gif[0:16]", "v0.5")]
    ['more/a', 'more/a', 'more/a', 'v0.5']
    """
    name = PIECE.sub("", name)
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in SUFFIXES else name


def pair(real: VideoSet, generated: VideoSet) -> tuple[list[int], str]:
    """For every real clip, the number of the generated one of the same name; or an empty list, and the reason.

    Names are compared as they are, or if these differ, without suffixes and ranges of frames (`stem`).
    """
    if sorted(real.names) == sorted(generated.names) and not _twice(real.names):
        wanted, found = real.names, generated.names
    else:
        wanted, found = ([stem(name) for name in side.names] for side in (real, generated))
    reasons = []
    for side, names, others in ((real, wanted, found), (generated, found, wanted)):
        if missing := sorted(set(others) - set(names)):
            reasons.append(f"{side.folder} lacks {_listed(missing)}")
        if twice := _twice(names):
            reasons.append(f"{side.folder} has more than one {_listed(twice)}")
    if reasons:
        return [], f"clips pair by their names, and {'; '.join(reasons)}"
    places = {name: number for number, name in enumerate(found)}
    return [places[name] for name in wanted], ""


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name, following in pairwise(sorted(names)) if name == following})


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
