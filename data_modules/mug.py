"""MUG: people show six emotions.  [Aifanti, Papachristou & Delopoulos, The MUG Facial Expression Database, 2010]"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_modules.base import VideoDataModule
from data_modules.common.errors import DataError, MissingSourceError
from data_modules.drawings import tiny_video
from data_modules.drawings.tiny import write_once
from data_modules.sources.mug import EMOTIONS, MugSequences, find_sequences
from data_modules.store.clip_source import Clip, Labels
from data_modules.store.format import Split

log = logging.getLogger(__name__)

TEST_PART = 0.25


class MUG(VideoDataModule):
    """Faces from rest to an emotion and back; identity is the subject, action the emotion.

    A seeded quarter of the sequences is the test, a few of the others are for validation. All splits share subjects.

    Args:
        layout: "tree" for the database's folders `ROOT/mug/SUBJECT/EMOTION/TAKE/*.jpg`, "npz" for aligned sequences in
            `ROOT/mug/*.npz`, "auto" for whichever is there.
        action_codes: what the actions 0, 1, ... in an npz mean; those that are not one of the six emotions are left
            out.
        every: take every n-th frame of the recordings.
        validation_part: part of the training sequences that are for validation.
        split_seed: of the split; `seed` is that of the training order.
    """

    name = "mug"
    rights = (
        "The MUG Facial Expression Database, which is licensed for research and may not be passed on; ask its owners "
        "before you publish a model, or pictures, made from it."
    )

    def __init__(
        self,
        *,
        layout: Literal["auto", "tree", "npz"] = "auto",
        action_codes: tuple[str, ...] = EMOTIONS,
        every: int = 2,
        validation_part: float = 0.05,
        split_seed: int = 0,
        clip_length: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(clip_length=clip_length, **kwargs)
        self.layout: Literal["auto", "tree", "npz"] = layout
        self.action_codes = tuple(action_codes)
        self.every = every
        self.validation_part = validation_part
        self.split_seed = split_seed
        self._check_part("validation_part")
        self._check_least(1, "every")
        self._check_least(0, "split_seed")

    @property
    def folder(self) -> Path:
        """Where MUG, or its tiny copy, is looked for."""
        if self.tiny:
            layout = "npz" if self.layout == "npz" else "tree"
            return self.root / "drawn" / f"mug-{layout}-{self._tiny_frames}-{tiny_video.VERSION}"
        return self.root / self.location

    @property
    def location(self) -> str:
        return "mug"

    def draw_tiny(self) -> None:
        write = tiny_video.write_mug_npz if self.layout == "npz" else tiny_video.write_mug_tree
        frames = self._tiny_frames
        write_once(self.folder, lambda folder: write(folder, subjects=2, takes=2, frames=frames))

    def obtain(self) -> None:
        super().obtain()
        if left_out := self.recordings.left_out:
            reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
            log.info("mug: left out of all splits: %s.", reasons)

    @cached_property
    def recordings(self) -> MugSequences:
        """The sequences that are there.

        Raises: MissingSourceError, with how to obtain MUG and where to put it; DataError where it is malformed.
        """
        found = find_sequences(self.folder, layout=self.layout, codes=self.action_codes)
        if found is None:
            raise MissingSourceError(
                f"MUG is not in {self.folder.absolute()}.\n"
                "The MUG Facial Expression Database (faces that show six emotions) is licensed and may not be passed"
                " on. Ask the Aristotle University of Thessaloniki for it:\n"
                "    https://mug.ee.auth.gr/fed/\n"
                "Then put it there, either as it comes, one folder a subject,\n"
                f"    {self.folder}/001/anger/take000/img_0000.jpg\n"
                "or cropped and aligned, an object array of sequences (t, 112, 112, 3) uint8 and an integer array"
                " (n, 2) of subjects and actions,\n"
                f"    {self.folder}/mug.npz\n"
                "To try the code without it, set --data.tiny true: faces that our code draws."
            )
        return found

    def source(self) -> dict[str, Any]:
        return self._options("action_codes", "every", "validation_part", "split_seed")

    def fingerprint(self) -> dict[str, Any]:
        if self.tiny:
            return {"recordings": f"drawn, version {tiny_video.VERSION}, {self.layout}, {self._tiny_frames} frames"}
        return {"recordings": self.recordings.fingerprint()}

    def sequences(self, split: Split) -> np.ndarray:
        """Which of the recordings are in `split`, in ascending order, whatever their lengths."""
        order = np.random.default_rng(self.split_seed).permutation(len(self.recordings.identity))
        test = round(TEST_PART * len(order))
        validation = max(1, round(self.validation_part * (len(order) - test)))
        parts = {"test": order[:test], "val": order[test : test + validation], "train": order[test + validation :]}
        if not all(part.size for part in parts.values()):
            raise DataError(f"{self.folder}: {len(order)} sequences are too few to split. Is all of MUG there?")
        return np.sort(parts[split])

    def units(self, split: Split) -> list[int] | None:
        """The sequences where they are separate files; None for an npz, which can only be read in one go."""
        return self.sequences(split).tolist() if self.recordings.separate else None

    def read_unit(self, unit: int) -> Iterator[Clip]:
        return self._clips([unit])

    def read(self, split: Split) -> Iterator[Clip]:
        return self._clips(self.sequences(split).tolist())

    def count(self, split: Split) -> int:
        return len(self.sequences(split))

    def describe_labels(self) -> Labels:
        """The subjects as the source calls them, and the six emotions."""
        return Labels(identity=self.recordings.subjects, action=EMOTIONS)

    def _clips(self, chosen: Sequence[int]) -> Iterator[Clip]:
        recordings = self.recordings
        for index, name, video in recordings.read(chosen, every=self.every, height=self.height, width=self.width):
            yield Clip(
                video=video, identity=int(recordings.identity[index]), action=int(recordings.action[index]), name=name
            )

    @property
    def _tiny_frames(self) -> int:
        longest = max(self.clip_length, self.eval_clip_length)
        return self.every * ((longest - 1) * self.stride + 1)
