"""Any folder of videos: mp4, webm, gif, avi, or folders of numbered pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from data_modules.common.errors import DataError, MissingSourceError, UserError
from data_modules.drawings import tiny_video
from data_modules.drawings.tiny import write_once
from data_modules.shared import splits
from data_modules.shared.recordings import RecordedVideos, SplitVideos
from data_modules.sources.collection import Video, find_videos
from data_modules.sources.frames import Shape
from data_modules.store.reader import Split


class VideoFolder(RecordedVideos):
    """Your own videos, found anywhere below one folder; identity and action are unknown.

    A folder of pictures (PNG, JPG) is one video, its frames in natural order, where no film is in that folder. Links
    are followed, also out of the folder, and what is reached twice counts once. Films are turned upright; what is
    transparent in a GIF is white. A video is never in two splits, and never as a whole in memory.

    Args:
        videos: the folder; `ROOT/videos` by default.
        shape: "crop" takes the middle of a frame of another shape, "stretch" all of it distorted, "pad" all of it
            between black bars.
        every: take every n-th frame into the store; `stride` does it when clips are cut from there.
        clip_frames: longer videos make several clips of so many frames, which bounds the memory; a training clip never
            reaches over the end of one.
        split_by: "folders" goes by folders called train, val and test at the top, "seeded" by chance; "auto" by folders
            where there are train and test. Without val, a part of train is taken.
        parts: of train, val and test in the seeded split, by video.
        split_seed: of that split; `seed` is that of the training order.
        skip_damaged: leave a damaged video out, from where it is damaged, and say so, instead of stopping.
    """

    name = "folder"

    def __init__(
        self,
        *,
        videos: str | None = None,
        shape: Shape = "crop",
        every: int = 1,
        clip_frames: int = 256,
        split_by: Literal["auto", "folders", "seeded"] = "auto",
        parts: tuple[float, float, float] = (8, 1, 1),
        split_seed: int = 0,
        skip_damaged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if every < 1 or clip_frames < 1 or split_seed < 0:
            raise UserError(
                f"folder: every is {every}, clip_frames {clip_frames} and split_seed {split_seed}; expected at least"
                " 1, 1 and 0."
            )
        if not min(parts) > 0:
            raise UserError(f"folder: parts is {parts}; expected three numbers above 0, as 8, 1, 1.")
        self.videos = videos
        self.shape: Shape = shape
        self.every = every
        self.clip_frames = clip_frames
        self.split_by: Literal["auto", "folders", "seeded"] = split_by
        self.parts = tuple(parts)
        self.split_seed = split_seed
        self.skip_damaged = skip_damaged

    @property
    def folder(self) -> Path:
        """Where videos are looked for."""
        if self.tiny:
            return self.root / "drawn" / f"videos-{self.every * self._longest_window}-{tiny_video.VERSION}"
        return self.root / self.location if self.videos is None else Path(self.videos)

    @property
    def location(self) -> str:
        return self.videos or "videos"

    def draw(self) -> None:
        frames = self.every * self._longest_window
        write_once(self.folder, lambda folder: tiny_video.write_videos(folder, frames=frames))

    def find(self) -> SplitVideos:
        if not self.folder.is_dir():
            raise MissingSourceError(
                f"There is no folder {self.folder.absolute()}. Put videos there (mp4, webm, gif, avi, or folders of"
                " numbered PNG or JPG pictures), or say with --videos (in a config: --data.videos) where they are."
            )
        left_out: Counter[str] = Counter()
        videos = find_videos(self.folder, left_out)
        if not videos:
            raise MissingSourceError(
                f"{self.folder.absolute()} holds no videos; expected mp4, webm, gif, avi, png or jpg files."
            )
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
        return SplitVideos(
            self._shared_out(videos),
            shape=self.shape,
            every=self.every,
            longest=self.clip_frames,
            skip_damaged=self.skip_damaged,
            remarks=[f"left out of all splits: {reasons}."] if reasons else [],
        )

    def _shared_out(self, videos: list[Video]) -> dict[Split, list[Video]]:
        shares = splits.by_folder([video.name for video in videos], videos)
        complete = bool(shares["train"] and shares["test"])
        if self.split_by == "folders" and not complete:
            raise DataError(
                f"{self.folder} has no folders `train` and `test` that hold videos. Make them, or set split_by: seeded."
            )
        if self.split_by == "seeded" or not complete:
            return splits.seeded(videos, self.parts, self.split_seed, f"videos in {self.folder}")
        part = self.parts[1] / sum(self.parts)
        return splits.with_validation(shares, part, self.split_seed, f"videos in {self.folder}/train")

    def source(self) -> dict[str, Any]:
        return {
            "split": [self.split_by, self.parts, self.split_seed],
            "shape": self.shape,
            "every": self.every,
            "clip_frames": self.clip_frames,
            "skip_damaged": self.skip_damaged,
        }
