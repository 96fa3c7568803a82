"""Which clips make which batch: a pure function of seed and epoch, for any number of workers and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from data_modules.batch import VideoBatch

Keys = list[tuple[int, int]] | list[int]


class ClipSampler(DistributedSampler[Keys]):
    """The batches of a training epoch, each a list of (clip, draw).

    `draw` seeds every random choice made for that sample, so that a batch does not depend on the process that loads it,
    nor on what was loaded before. Clips come in fresh permutations, one after the other, until `batches` are full: each
    clip once before any comes twice. Batch i of all processes together is batch i of one process with that total batch
    size.

    It is a `DistributedSampler` so that Lightning leaves it in place; it yields whole batches, for a loader with
    `batch_size=None`.

    Args:
        batch_size: clips of a batch in this process.
        batches: of an epoch; enough for every clip to come once, by default.
        world_size, rank: how many processes share the clips, and which of them this is.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        batches: int | None = None,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, seed=seed)
        self.clips = len(dataset)  # pyright: ignore[reportArgumentType]  # a map-style dataset has a length
        self.batch_size = batch_size
        self.batches = batches or ceil(self.clips / (batch_size * world_size))
        self.start = 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Keys]:
        """The epoch's batches from `start` on."""
        clips, draws = (values[self.rank :: self.num_replicas] for values in self.order())
        for first in range(self.start * self.batch_size, len(clips), self.batch_size):
            part = slice(first, first + self.batch_size)
            yield list(zip(clips[part].tolist(), draws[part].tolist(), strict=True))

    def order(self) -> tuple[np.ndarray, np.ndarray]:
        """The epoch of all processes together: clips and draws, each (batches x batch size x processes,)."""
        total = self.batches * self.batch_size * self.num_replicas
        generator = np.random.default_rng([self.seed, self.epoch])
        draws = generator.integers(2**63, size=total)
        clips = [generator.permutation(self.clips) for _ in range(ceil(total / self.clips))]
        return np.concatenate(clips)[:total], draws


class EvaluationSampler(DistributedSampler[Keys]):
    """The batches of an evaluation, each a list of clips: every clip once over all processes, in order, none repeated.

    Processes get equally many batches even where they get unequally many clips, because a model wrapped for distributed
    training exchanges its buffers in every forward pass, and a process with one batch more would wait forever. Batches
    may therefore differ in size by one: averages over batches must be weighted by `len(batch)`.

    Args: as `ClipSampler`; there are at least as many clips as processes.
    """

    def __init__(self, dataset: Dataset, *, batch_size: int, world_size: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=False)
        self.clips = len(dataset)  # pyright: ignore[reportArgumentType]
        # No process may be left without clips for a batch, so batches of one clip can become batches of two.
        self.batches = min(ceil(ceil(self.clips / world_size) / batch_size), self.clips // world_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Keys]:
        share = np.arange(self.rank, self.clips, self.num_replicas)
        for batch in np.array_split(share, self.batches):
            yield batch.tolist()


class ClipLoader(DataLoader[VideoBatch]):
    """A loader that can save its exact position within an epoch, and resume there.

    The order is a function of seed and epoch, so the position is (epoch, batches delivered). It counts only when that
    epoch is iterated: a checkpoint from the very end of an epoch is followed by the next one, from its beginning. The
    number of workers may change in between.

    Args:
        current_epoch: returns the epoch; called when the first batch is requested. By default `set_epoch` decides,
            which Lightning calls after it has requested the iterator, and with a number that is one too high once
            step-limited training was resumed from the end of an epoch; the trainer's own count is right.
        options: of the DataLoader; its sampler is a `ClipSampler`.
    """

    def __init__(self, *, current_epoch: Callable[[], int] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._current_epoch = current_epoch
        self._position = (0, 0)
        self._resume: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[VideoBatch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # A generator prefetches nothing before the first batch is requested: by then the epoch is known.
        sampler = cast(ClipSampler, self.sampler)
        if self._current_epoch is not None:
            sampler.set_epoch(self._current_epoch())
        epoch, done = self._resume or (sampler.epoch, 0)
        sampler.start = done if epoch == sampler.epoch else 0
        self._resume = None
        self._position = (sampler.epoch, sampler.start)
        for done, batch in enumerate(super().__iter__(), start=sampler.start + 1):
            self._position = (self._position[0], done)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position; called by Lightning for every checkpoint."""
        epoch, batches = self._position
        return {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume at `state` in the next iteration."""
        self._position = self._resume = (state["epoch"], state["batches"])
