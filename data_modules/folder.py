"""Any folder of videos: mp4, webm, gif, avi, or folders of numbered pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from data_modules.common.errors import DataError, MissingSourceError, UserError
from data_modules.drawings import tiny_video
from data_modules.drawings.tiny import write_once
from data_modules.shared import splits
from data_modules.shared.recordings import RecordedVideos, SplitVideos, VideosInTime
from data_modules.sources.collection import find_videos
from data_modules.sources.frames import Region, Shape

SplitBy = Literal["auto", "folders", "seeded", "time"]


class VideoFolder(RecordedVideos):
    """Your own videos, found anywhere below one folder; identity and action are unknown.

    A folder of pictures (PNG, JPG) is one video, its frames in natural order, where no film is in that folder. Links
    are followed, also out of the folder, and what is reached twice counts once. Films are turned upright; what is
    transparent in a GIF is white. A video is never as a whole in memory.

    Three videos or more are each in one split. Fewer are split in time: the beginning of each is for training, then
    come validation and test, with at least one clip's length between two of them, so that no frame is nearly in two.

    Args:
        videos: the folder, or one film; `ROOT/videos` by default.
        region: (left, top, width, height) in pixels, the part of every frame that is taken; all of it by default.
        between: (first, stop), frames of every video that are taken, from first to before stop; all by default.
        shape: "crop" takes the middle of a frame of another shape, "stretch" all of it distorted, "pad" all of it
            between black bars.
        every: take every n-th frame into the store; `stride` does it when clips are cut from there.
        clip_frames: longer videos make several clips of so many frames, which bounds the memory; a training clip never
            reaches over the end of one.
        split_by: "folders" goes by folders called train, val and test at the top, "seeded" puts each video into a split
            by chance, "time" splits each video in time; "auto" goes by folders where there are train and test, else it
            is seeded, or where there are too few videos, in time. Without val, a part of train is taken.
        parts: of train, val and test in the seeded split, by video, and in the split in time, by frame.
        split_seed: of the seeded split; `seed` is that of the training order.
        gap: frames between two splits of one video, counted after `every`; more where a training or evaluation clip
            spans more. Each split has at least as many frames, so the video needs five times as many.
        skip_damaged: leave a damaged video out, from where it is damaged, and say so, instead of stopping.
    """

    name = "folder"
    rights = "Videos that the person who trained the model chose: state whose they are before you pass the model on."

    def __init__(
        self,
        *,
        videos: str | None = None,
        region: tuple[int, int, int, int] | None = None,
        between: tuple[int, int] | None = None,
        shape: Shape = "crop",
        every: int = 1,
        clip_frames: int = 256,
        split_by: SplitBy = "auto",
        parts: tuple[float, float, float] = (8, 1, 1),
        split_seed: int = 0,
        gap: int = 32,
        skip_damaged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not min(parts) > 0:
            raise UserError(f"folder: parts is {parts}; expected three numbers above 0, as 8, 1, 1.")
        if region is not None and (min(region) < 0 or min(region[2:]) < 1):
            raise UserError(f"folder: region is {region}; expected left, top, width and height in pixels of the video.")
        if between is not None and not 0 <= between[0] < between[1]:
            raise UserError(f"folder: between is {between}; expected the first frame, and one behind the last one.")
        self.videos = videos
        self.between = between or (0, None)
        self.region: Region | None = region and tuple(region)  # pyright: ignore[reportAttributeAccessIssue]
        self.shape: Shape = shape
        self.every = every
        self.clip_frames = clip_frames
        self.split_by: SplitBy = split_by
        self.parts = tuple(parts)
        self.split_seed = split_seed
        self.gap = gap
        self.skip_damaged = skip_damaged
        self._check_least(1, "every", "clip_frames")
        self._check_least(0, "split_seed", "gap")
        self.gap = max(gap, (self.clip_length - 1) * self.largest_stride + 1, self._evaluation_window)

    @property
    def folder(self) -> Path:
        if self.tiny:
            return self.root / "drawn" / f"videos-{self.every * self._longest_window}-{tiny_video.VERSION}"
        return self.root / self.location if self.videos is None else Path(self.videos)

    @property
    def location(self) -> str:
        return self.videos or "videos"

    def draw_tiny(self) -> None:
        frames = self.every * self._longest_window
        write_once(self.folder, lambda folder: tiny_video.write_videos(folder, frames=frames))

    def find(self) -> SplitVideos:
        """The videos in `folder`, shared out as `split_by` says.

        Raises: MissingSourceError where there are none; DataError where they cannot be shared out.
        """
        if not self.folder.exists():
            raise MissingSourceError(
                f"There is no folder {self.folder.absolute()}. Put videos there (mp4, webm, gif, avi, or folders of"
                " numbered PNG or JPG pictures), or say with --videos (in a config: --data.videos) where they are."
            )
        left_out: Counter[str] = Counter()
        first, stop = self.between
        videos = [
            replace(video, region=self.region, first=first, stop=stop) for video in find_videos(self.folder, left_out)
        ]
        if not videos:
            raise MissingSourceError(
                f"{self.folder.absolute()} holds no videos; expected mp4, webm, gif, avi, png or jpg files."
            )
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
        remarks = [f"left out of all splits: {reasons}."] if reasons else []
        options = self._options("shape", "every", "skip_damaged") | {"longest": self.clip_frames, "remarks": remarks}
        shares = splits.by_folder([video.name for video in videos], videos)
        has_folders = bool(shares["train"] and shares["test"])
        if self.split_by == "folders" and not has_folders:
            raise DataError(
                f"{self.folder} has no folders `train` and `test` that hold videos. Make them, or set split_by: seeded."
            )
        if has_folders and self.split_by in ("auto", "folders"):
            part = self.parts[1] / sum(self.parts)
            shares = splits.with_validation(shares, part, self.split_seed, f"videos in {self.folder}/train")
        elif self.split_by == "time" or (self.split_by == "auto" and splits.sizes(len(videos), self.parts)[0] < 1):
            return VideosInTime(videos, self.parts, self.gap, **options)
        else:
            shares = splits.seeded(videos, self.parts, self.split_seed, f"videos in {self.folder}")
        return SplitVideos(shares, **options)

    def source(self) -> dict[str, Any]:
        split = {"split": [self.split_by, self.parts, self.split_seed]}
        region = {} if self.region is None else {"region": self.region}
        between = {} if self.between == (0, None) else {"between": self.between}
        return self._options("shape", "every", "clip_frames", "skip_damaged") | split | region | between
