"""What all datasets share: from a source to a store, and from the store to batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from lightning.pytorch import LightningDataModule

from data_modules.clips import Clip

Split = Literal["train", "val", "test"]


class VideoDataModule(LightningDataModule, ABC):
    """Clips of one dataset as `VideoBatch`es.

    A subclass says what its clips depend on (`source`) and reads them (`read`); all else is here.

    Args:
        root: folder of the sources and the stores built from them.
        size: height and width of a frame in pixels, one number for a square.
        clip_length: frames of a training clip.
        eval_clip_length: frames of a validation or test clip; `clip_length` by default.
        stride: take every n-th frame.
        batch_size: training clips a step and process.
        eval_batch_size: the same for validation and test; `batch_size` by default.
        num_workers: loader processes; 0 loads in the training process. Batches do not depend on it.
        batches_per_epoch: training steps of an epoch; one pass over the clips by default.
        seed: of everything random here; same seed, same batches.
        tiny: read a small copy that our code draws in the dataset's own format.
        flip: mirror whole training clips left to right, each with probability 1/2.
        pair_actions: a training clip is two clips of one identity, one after the other: 2 `clip_length` frames.
    """

    name: ClassVar[str]

    def __init__(
        self,
        *,
        root: str = "data",
        size: int | tuple[int, int] = 64,
        clip_length: int = 16,
        eval_clip_length: int | None = None,
        stride: int = 1,
        batch_size: int = 20,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        tiny: bool = False,
        flip: bool = False,
        pair_actions: bool = False,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.clip_length = clip_length
        self.eval_clip_length = eval_clip_length or clip_length
        self.stride = stride
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.num_workers = num_workers
        self.batches_per_epoch = batches_per_epoch
        self.seed = seed
        self.tiny = tiny
        self.flip = flip
        self.pair_actions = pair_actions
        self.skipped: Counter[str] = Counter()

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """All that the stored clips depend on, as JSON; a store whose source differs is another store."""

    @abstractmethod
    def read(self, split: Split) -> Iterator[Clip]:
        """The clips of `split`, one after the other, never all in memory, in a fixed order.

        What it leaves out it counts by reason: `self.skipped["fewer than 20 frames"] += 1`; the store remembers.

        Raises: DataError where the source is missing, truncated or malformed.
        """

    def count(self, split: Split) -> int | None:  # noqa: ARG002
        """How many clips `read` will yield, for the progress bar; None where only reading tells."""
        return None

    def obtain(self) -> None:
        """Make the source readable; called once before reading, in one process.

        Draws the tiny source, downloads where the source may be downloaded, and otherwise raises a DataError that says
        where to get it and where to put it. Does nothing by default.
        """
