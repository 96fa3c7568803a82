"""Video files: mp4, webm, avi, gif, decoded frame by frame with FFmpeg; a film is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.sources.containers import container_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif"})
MAX_PIXELS = 1 << 25
"""A video that claims larger frames than 8192 x 4096 is refused before it is decoded."""
LIMITS = {"max_pixels": str(MAX_PIXELS)}
NEVER = np.iinfo(np.int64).min


@contextmanager
def open_film(path: Path) -> Iterator[Film]:
    """The video in `path`, as long as the context lasts.

    Raises: DataError naming the file where it is missing, not a video, cut off, damaged or absurdly large, also from
        `Film`'s methods.
    """
    import av

    with ExitStack() as opened:
        with _naming(path):
            file = opened.enter_context(path.open("rb"))
            kind = container_of(file, path)
            # A file, not its name, and a named format: nothing in it can make FFmpeg open another file.
            container = av.open(file, "r", format=kind, options=LIMITS, metadata_errors="replace")
            film = Film(path, opened.enter_context(container))
        yield film


class Film:
    """A video that is open for reading; its frames are numbered from 0, in the order in which they are shown."""

    def __init__(self, path: Path, container: InputContainer) -> None:
        if not container.streams.video:
            raise DataError(f"{path}: holds no video stream. Take it away, or replace it.")
        self.path = path
        self._container = container
        self._stream = container.streams.video[0]
        codec = self._stream.codec_context
        if codec is None:  # although the type stub says it cannot be
            raise DataError(f"{path}: is encoded in a way that FFmpeg does not know. Convert it to mp4 with H.264.")
        if codec.width * codec.height > MAX_PIXELS:
            raise DataError(
                f"{path}: claims frames of {codec.width}x{codec.height} pixels; at most {MAX_PIXELS} are read. Make it"
                " smaller."
            )
        codec.options = LIMITS  # frames may grow within a film

    def frames(self, first: int = 0, stop: int | None = None, every: int = 1) -> Iterator[Image.Image]:
        """Frames `first`, `first + every`, ... before `stop`, or up to the end, as RGB pictures turned upright.

        What is transparent is white. Only one iterator of a film can be in use at a time.
        """
        with _naming(self.path):
            for number, frame in self._decode(first):
                if stop is not None and number >= stop:
                    return
                if number >= first and (number - first) % every == 0:
                    yield _picture(frame)

    def count_frames(self) -> int:
        """How many frames there are; unless it is an mp4, all of them are decoded for that."""
        with _naming(self.path):
            return sum(1 for _ in self._decode(0)) if self._times is None else len(self._times)

    def frame_at(self, seconds: float) -> int:
        """The number of the first frame that is shown at least `seconds` after frame 0."""
        with _naming(self.path):
            if self._times is None or not len(self._times):
                raise DataError(f"{self.path}: does not say when its frames are shown. Convert it to mp4.")
            return int(np.searchsorted(self._times - self._times[0], seconds / float(self._stream.time_base or 1)))

    def _decode(self, first: int) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their numbers: from the last key frame before `first`, or from 0 where that is unknown."""
        times = self._times if first else None
        self._container.seek(0 if times is None else int(times[min(first, len(times) - 1)]), stream=self._stream)
        start, offset = 0, -1
        for offset, frame in enumerate(self._container.decode(self._stream)):
            if offset == 0 and times is not None:
                start = int(np.searchsorted(times, NEVER if frame.pts is None else frame.pts))
                if start > min(first, len(times) - 1) or times[start] != frame.pts:
                    raise DataError(
                        f"{self.path}: cannot be entered at frame {first}: its index is damaged. Convert it."
                    )
            yield start + offset, frame
        if offset < 0:
            raise DataError(f"{self.path}: holds no frames. Take it away, or replace it.")

    @cached_property
    def _times(self) -> np.ndarray | None:
        """(n,) when each frame is shown, in units of the stream; None where a packet need not be a frame."""
        if "mp4" not in self._container.format.name.split(","):
            return None
        packets = (packet for packet in self._container.demux(self._stream) if packet.size and not packet.is_discard)
        shown = np.fromiter((NEVER if packet.pts is None else packet.pts for packet in packets), dtype=np.int64)
        return np.sort(shown) if len(shown) and shown.min() > NEVER else None


def _picture(frame: VideoFrame) -> Image.Image:
    pixels = frame.to_ndarray(format="rgb24")
    # Telephones store upright films lying on their side, with their rotation.
    return Image.fromarray(np.rot90(pixels, k=round(frame.rotation / 90)))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    from av.error import FFmpegError

    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Give the path of a video, or of a folder of pictures.") from error
    except (FFmpegError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as a video ({error}). Replace it with an intact copy, or convert it to mp4."
        ) from error
