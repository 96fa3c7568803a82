"""What goes into a clip store: clips, what their labels mean, and the source that reads them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_modules.store.format import Split


@dataclass(frozen=True)
class Clip:
    """One whole video, as a source reads it.

    All clips of a dataset have one frame size and the same fields.

    Args:
        video: (t, h, w, 3) uint8.
        identity: the static factor's label; -1 where unknown.
        action: the dynamic factor's label, one for the clip or (t,), one for each frame; -1 where unknown.
        name: what a person would call the clip, for messages: a file name, for example.
        mask: (t, h, w) uint8 in {0, 1}, foreground.
        foreground_shift: (t-1, 2) float32, (x, y) pixels between a frame and the next; x to the right, y down.
        background_shift: as `foreground_shift`, for the background.
        local_action: (t,) in-place action of each frame.
        position: (t, 2) float32, (x, y) pixels, centre of the foreground; (0, 0) is the centre of the top left pixel.
    """

    video: np.ndarray
    identity: int = -1
    action: int | np.ndarray = -1
    name: str = ""
    mask: np.ndarray | None = None
    foreground_shift: np.ndarray | None = None
    background_shift: np.ndarray | None = None
    local_action: np.ndarray | None = None
    position: np.ndarray | None = None


@dataclass(frozen=True)
class Labels:
    """What identities and actions are called, and what identities are made of.

    Args:
        identity: the name of each identity; empty where they are only numbered.
        action: the same for each action.
        attributes: by factor, its value for each identity: what to recognise where no identity is in two splits. Empty
            where identities are not made of parts.
    """

    identity: Sequence[str] = ()
    action: Sequence[str] = ()
    attributes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The labels as plain lists."""
        attributes = {factor: [int(value) for value in values] for factor, values in self.attributes.items()}
        return {"identity": list(self.identity), "action": list(self.action), "attributes": attributes}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Labels:
        """Raises: KeyError, TypeError, ValueError, AttributeError where `content` is not what `to_json` gives."""
        labels = cls(identity=content["identity"], action=content["action"], attributes=content["attributes"])
        if labels.to_json() != content or not all(isinstance(name, str) for name in (*labels.identity, *labels.action)):
            raise ValueError("its labels are malformed")
        return labels


@dataclass(frozen=True)
class StandIn:
    """What is read where the real files are missing and the user did not insist on them.

    Args: fingerprint: as `ClipSource.fingerprint`; warning: says what it is and how to get the real files.
    """

    fingerprint: dict[str, Any]
    warning: str


class ClipSource(ABC):
    """The part of a data module that differs from dataset to dataset, which is all that building a store needs.

    A dataset says what its clips depend on (`source`, `fingerprint`), reads them (`units` and `read_unit`, or `read`
    where that is only possible in one go), and says what their labels mean (`describe_labels`). Only building a store
    needs the files; training from a finished store does not.
    """

    name: ClassVar[str]
    root: Path
    height: int
    width: int
    tiny: bool
    skipped: Counter[str]
    """What `units` and `read_unit` leave out, by reason; a new one for every unit. The store remembers it."""

    download: bool | None = None
    """Whether `fetch` may be called; None: by `vdsm-glass prepare` only. An option of the datasets that have it."""

    store_url: str | None = None
    """A finished store elsewhere, as fsspec names its folder, which is read instead of any in `stores`."""

    cache_gb: float = 50
    """Most gigabytes of that store, and of others, that are kept in the folder `cache` of `root`."""

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """All options that the stored clips depend on, as JSON. Another source makes another store."""

    def fingerprint(self) -> dict[str, Any]:
        """What changes when the files do, as JSON: checksums, or names and sizes; empty where there are no files.

        Raises: MissingSourceError where they are missing, saying where to get them and where to put them; DataError.
        """
        return {}

    @property
    def location(self) -> str:
        """Where the files are looked for, as an option says it or below `root`.

        It tells two sets of files apart once both are gone and only their stores are left.
        """
        return ""

    def units(self, split: Split) -> Sequence[Any] | None:  # noqa: ARG002
        """What can be read one by one, in any process: recordings, characters, ... in the order of their clips.

        None, the default, where only `read` reads.
        """
        return None

    def read_unit(self, unit: Any) -> Iterable[Clip]:
        """The clips of one of `units`, which depend on nothing else; at best one of them is in memory at a time.

        It counts what it leaves out by reason: `self.skipped["fewer than 20 frames"] += 1`.

        Raises: DataError where the source is missing, truncated or malformed.
        """
        raise NotImplementedError(f"{type(self).__name__} must have `units` and `read_unit`, or `read`.")

    def read(self, split: Split) -> Iterator[Clip]:
        """The clips of `split`, one after the other, in a fixed order.  Raises: as `read_unit`."""
        for unit in self.units(split) or ():
            yield from self.read_unit(unit)

    def count(self, split: Split) -> int | None:  # noqa: ARG002
        """How many clips will be read, for the progress bar; None where that is not known before."""
        return None

    def fetch(self) -> bool:
        """Download the missing files and return True; False, the default, where they may not be downloaded.

        Raises: DownloadError where the download fails.
        """
        return False

    def stand_in(self) -> StandIn | None:
        """What is read where the files are missing; None, the default, where that is an error."""
        return None

    def draw_tiny(self) -> None:
        """Draw the small copy that is read where `tiny` is set, in the dataset's own format, unless it is there.

        A dataset has a tiny copy if it has this method; `tiny` is an error for any other.
        """
        raise NotImplementedError(f"{self.name} has no tiny copy.")

    def obtain(self) -> None:
        """Draw what is read instead of the real files; called once before reading, in one process."""
        if self.tiny:
            self.draw_tiny()

    def describe_labels(self) -> Labels:
        """What the labels mean; called once, when the store is built, which keeps the answer."""
        return Labels()

    def for_loader_process(self) -> ClipSource:
        """The source as another process can receive it."""
        return self

    @property
    def stores(self) -> Path:
        """The folder of the stores of all datasets."""
        return self.root / "stores"

    def request(self) -> dict[str, Any]:
        """All that the stored clips depend on except the files' content, and where the files are, as JSON."""
        return self.describe_source({"location": self.location})

    def describe_source(self, fingerprint: dict[str, Any]) -> dict[str, Any]:
        """All that the stored clips depend on, given the files' `fingerprint`, in the form in which JSON returns it."""
        common = {"dataset": self.name, "height": self.height, "width": self.width, "tiny": self.tiny}
        return json.loads(json.dumps(common | self.source() | fingerprint))
