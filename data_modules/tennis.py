"""Tennis: one half of the court and one player.  [Menapace et al., Playable Video Generation, CVPR 2021]"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_modules.common.errors import DataError, MissingSourceError, UserError
from data_modules.drawings import tiny_video
from data_modules.drawings.tiny import write_once
from data_modules.shared import splits
from data_modules.shared.recordings import RecordedVideos, Recordings, split_folders
from data_modules.sources.matches import Sequence, find_film, read_annotations, read_sequences, read_splits
from data_modules.store.format import SPLITS, Split

EVERY = 5
EVALUATION_FRAMES = 16
LONGEST = 512
RATIO = (8, 1, 1)
TOGETHER = 16


class Tennis(RecordedVideos):
    """Sequences of two tennis matches, 96 x 256; identity and action are unknown.

    Training sequences are kept with all their frames, of which a clip takes every 5th. Validation and test clips are
    16 frames of which each is the 5th after the one before, as they are published; so `eval_stride` is 1.

    Args:
        layout: "folders" for `ROOT/tennis/{train,val,test}/NNNNN/00000.png`, "videos" to cut the sequences out of match
            videos, "auto" for the second where `videos` is given.
        videos: folder of the match videos; `ROOT/tennis/videos` by default.
        annotations: CSV file that says which sequences to cut out; `VIDEOS/annotations.csv` by default.
        split_list: CSV file that says which split each is for; by default `splits.csv` beside `annotations`, or the
            column `split` in there, or where there is neither, 8:1:1 by chance.
        split_seed: of that chance; `seed` is that of the training order.
    """

    name = "tennis"
    rights = "Broadcast tennis matches, in which their owners have rights."

    def __init__(
        self,
        *,
        layout: Literal["auto", "folders", "videos"] = "auto",
        videos: str | None = None,
        annotations: str | None = None,
        split_list: str | None = None,
        split_seed: int = 0,
        size: int | tuple[int, int] = (96, 256),
        clip_length: int = 12,
        stride: int | tuple[int, int] = EVERY,
        eval_stride: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(size=size, clip_length=clip_length, stride=stride, eval_stride=eval_stride, **kwargs)
        self.from_videos = layout == "videos" or (layout == "auto" and videos is not None)
        if not self.from_videos and (videos or annotations or split_list):
            raise UserError("tennis: annotations and split_list are of match videos; give --videos, or layout: videos.")
        self._videos, self._annotations, self._split_list = videos, annotations, split_list
        self.split_seed = split_seed
        self._check_least(0, "split_seed")

    @property
    def folder(self) -> Path:
        if self.tiny:
            windows = f"{self._training_window}-{self._evaluation_window}"
            layout = "videos" if self.from_videos else "folders"
            return self.root / "drawn" / f"tennis-{layout}-{windows}-{tiny_video.VERSION}"
        if not self.from_videos:
            return self.root / "tennis"
        return self.root / "tennis" / "videos" if self._videos is None else Path(self._videos)

    @property
    def location(self) -> str:
        return ", ".join(str(option) for option in (self._videos, self._annotations, self._split_list))

    @property
    def annotations(self) -> Path:
        """The file that says which parts of the match videos are sequences."""
        return self.folder / "annotations.csv" if self.tiny or not self._annotations else Path(self._annotations)

    @property
    def split_list(self) -> Path | None:
        """The file that says which split each sequence is for, if there is one."""
        if self._split_list and not self.tiny:
            return Path(self._split_list)
        beside = self.annotations.with_name("splits.csv")
        return beside if beside.is_file() else None

    def draw_tiny(self) -> None:
        write = tiny_video.write_match if self.from_videos else tiny_video.write_rallies
        # Of a match only every 5th frame becomes part of an evaluation clip.
        evaluation = EVERY * EVALUATION_FRAMES + 1 if self.from_videos else self._evaluation_window
        write_once(self.folder, lambda folder: write(folder, self._training_window, evaluation))

    def find(self) -> Recordings:
        if self.from_videos and self.annotations.is_file():
            return Matches(self.folder, self.annotations, self.split_list, self.split_seed)
        if self.from_videos:
            raise MissingSourceError(
                f"There are no annotations in {self.annotations.absolute()}.\n{self._instructions()}"
            )
        found = split_folders(self.folder, validation_part=0.1, split_seed=self.split_seed, longest=LONGEST)
        if found is None:
            raise MissingSourceError(f"Tennis is not in {self.folder.absolute()}.\n{self._instructions()}")
        return found

    def source(self) -> dict[str, Any]:
        return {"layout": "videos" if self.from_videos else "folders", "split_seed": self.split_seed}

    def _instructions(self) -> str:
        return (
            "The two matches are on YouTube and may not be passed on. Get them, in 1920x1080, as\n"
            "    djokovic_federer_wimbledon.mp4    https://www.youtube.com/watch?v=TUikJi0Qhhw\n"
            "    nadal_kyrgios_wimbledon.mp4       https://www.youtube.com/watch?v=T4S5YmO0KOU\n"
            "and annotations.csv and splits.csv, which say what to cut out of them, from\n"
            "    https://github.com/willi-menapace/PlayableVideoGeneration, dataset/acquisition/tennis_annotations\n"
            "and say where they are:\n"
            "    vdsm-glass prepare tennis --videos DIR --annotations DIR/annotations.csv\n"
            "Sequences that were cut already are found in\n"
            f"    {self.root}/tennis/train/00000/00000.png, and so on; val and test beside train\n"
            "To try the code without them, set --data.tiny true: a player that our code draws."
        )


@dataclass(frozen=True)
class Part:
    """Some sequences of one film; `evaluation`: cut into clips of 16 frames, every 5th."""

    sequences: list[Sequence]
    evaluation: bool


class Matches(Recordings):
    """Sequences that are cut out of match videos.

    Args: folder: of the videos; annotations, split_list: the CSV files; split_seed: of the split where none is given.
    Raises: DataError where a file is malformed, or sequences are in no split or in unknown ones.
    """

    def __init__(self, folder: Path, annotations: Path, split_list: Path | None, split_seed: int) -> None:
        self.folder = folder
        sequences = read_annotations(annotations)
        told: Mapping[int, str | None] = dict(enumerate(sequence.split for sequence in sequences))
        if split_list is not None:
            told = read_splits(split_list)
        elif not any(told.values()):
            self.remarks = [f"nothing says which split the sequences of {annotations} are for; drawn by chance."]
            self.shares = splits.seeded(sequences, RATIO, split_seed, f"sequences in {annotations}")
            return
        where = annotations if split_list is None else split_list
        unknown = [number for number in range(len(sequences)) if (told.get(number) or "") not in splits.FOLDERS]
        if unknown:
            raise DataError(
                f"{where}: sequence {unknown[0]} of {len(sequences)} is for {told.get(unknown[0])!r}; expected one of"
                f" {', '.join(splits.FOLDERS)}. Sequences are numbered from 0, by file name and first frame."
            )
        names = [told[number] or "" for number in range(len(sequences))]
        self.shares = splits.by_folder(names, sequences)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(f"{split} {self.shares[split]}\n".encode())
        for film in sorted({sequence.film for sequences in self.shares.values() for sequence in sequences}):
            digest.update(f"{find_film(self.folder, film)[0].stat().st_size}\n".encode())
        return digest.hexdigest()

    def units(self, split: Split) -> list[Part]:
        """A few sequences at a time, because opening an hour of a match takes longer than reading one of them."""
        films = (list(group) for _, group in groupby(self.shares[split], key=lambda sequence: sequence.film))
        return [
            Part(film[start : start + TOGETHER], evaluation=split != "train")
            for film in films
            for start in range(0, len(film), TOGETHER)
        ]

    def count(self, split: Split) -> int | None:
        return len(self.shares[split]) if split == "train" else None

    def read(self, unit: Part, *, height: int, width: int, skipped: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
        every = EVERY if unit.evaluation else 1
        for sequence, video in read_sequences(self.folder, unit.sequences, every=every, height=height, width=width):
            if not unit.evaluation:
                yield sequence.name, video
                continue
            # As published: no clip where nothing follows it, even if there are 16 frames.
            starts = range(0, len(video) - EVALUATION_FRAMES, EVALUATION_FRAMES)
            for start in starts:
                yield f"{sequence.name}, clip {start // EVALUATION_FRAMES}", video[start : start + EVALUATION_FRAMES]
            if not starts:
                skipped[f"with fewer than {EVERY * EVALUATION_FRAMES + 1} frames"] += 1
