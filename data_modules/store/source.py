"""What a dataset says of itself: which clips there are, what they depend on, where their files come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from data_modules.loading.clips import Clip
from data_modules.store.columns import Split
from data_modules.store.labels import Labels


@dataclass(frozen=True)
class StandIn:
    """What is read where the real files are not there and nobody insisted on them.

    Args: fingerprint: as `ClipSource.fingerprint`; warning: says what it is and how to get the real ones.
    """

    fingerprint: dict[str, Any]
    warning: str


class ClipSource(ABC):
    """The part of a data module that differs from dataset to dataset.

    A dataset says what its clips depend on (`source`, `fingerprint`), reads them (`units` and `read_unit`, or `read`
    where that is only possible in one go), and says what their labels mean (`describe_labels`). Only building a store
    needs the files; training from a finished one does not.
    """

    name: ClassVar[str]
    root: Path
    height: int
    width: int
    tiny: bool
    skipped: Counter[str]
    """What `units` and `read_unit` leave out, by reason; a new one for every unit. The store remembers."""

    download: bool | None = None
    """Whether `fetch` may be called; None: by `vdsm-glass prepare` only. An option of the datasets that have it."""

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """All options that the stored clips depend on, as JSON; a store whose source differs is another store."""

    def fingerprint(self) -> dict[str, Any]:
        """What changes when the files do, as JSON: checksums, or names and sizes. Nothing where there are no files.

        Raises: MissingSourceError where they are not there, saying where to get them and where to put them; DataError.
        """
        return {}

    @property
    def location(self) -> str:
        """Where the files are looked for, as the option says it or below `root`: tells two sets of them apart once
        both are gone and only their stores are left."""
        return ""

    def units(self, split: Split) -> Sequence[Any] | None:  # noqa: ARG002
        """What can be read one by one, in any process: recordings, characters, ... in the order of their clips.

        None, as by default, where only `read` reads.
        """
        return None

    def read_unit(self, unit: Any) -> Iterable[Clip]:
        """The clips of one of `units`, a function of it alone; never more of them in memory than it must.

        What it leaves out it counts by reason: `self.skipped["fewer than 20 frames"] += 1`.

        Raises: DataError where the source is missing, truncated or malformed.
        """
        raise NotImplementedError(f"{type(self).__name__} must have `units` and `read_unit`, or `read`.")

    def read(self, split: Split) -> Iterator[Clip]:
        """The clips of `split`, one after the other, in a fixed order.  Raises: as `read_unit`."""
        for unit in self.units(split) or ():
            yield from self.read_unit(unit)

    def count(self, split: Split) -> int | None:  # noqa: ARG002
        """How many clips will be read, for the progress bar; None where only reading tells."""
        return None

    def fetch(self) -> bool:
        """Download the files that are missing; False, as by default, where they may not be downloaded.

        Raises: DownloadError where that cannot be done.
        """
        return False

    def stand_in(self) -> StandIn | None:
        """What is read where the files are not there; None, as by default, where that is an error."""
        return None

    def obtain(self) -> None:  # noqa: B027
        """Make what is not a file of the source readable; called once before reading, in one process.

        Draws the tiny source or the stand-in. Does nothing by default.
        """

    def describe_labels(self) -> Labels:
        """What the labels mean; asked for once, when the store is built, and kept there."""
        return Labels()
