"""What all datasets share: the way from a source to a store, and from the store to batches."""

from __future__ import annotations

from collections import Counter
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from data_modules.batch import VideoBatch
from data_modules.common.errors import DataError, UserError
from data_modules.loading.clips import ClipDataset
from data_modules.loading.sampler import ClipLoader, ClipSampler, EvaluationSampler
from data_modules.store.build import locate, open_elsewhere, open_or_build
from data_modules.store.clip_source import ClipSource
from data_modules.store.format import Split
from data_modules.store.reader import Store

__all__ = ["Split", "VideoDataModule"]


class VideoDataModule(LightningDataModule, ClipSource):
    """Clips of one dataset as `VideoBatch`es. A subclass answers what `ClipSource` asks; everything else is here.

    Args:
        root: folder of the sources and the stores built from them.
        size: height and width of a frame in pixels, one number for a square.
        clip_length: frames of a training clip.
        eval_clip_length: frames of a validation or test clip; `clip_length` by default.
        stride: take every n-th frame; or (least, most), from which every training sample draws its own and evaluation
            takes the least.
        eval_stride: take every n-th frame of a validation or test clip instead.
        batch_size: training clips per step and process.
        eval_batch_size: the same for validation and test; `batch_size` by default.
        num_workers: loader processes; 0 loads in the training process. Batches do not depend on it.
        batches_per_epoch: training steps of an epoch; one pass over the clips by default.
        seed: of everything random here; the same seed gives the same batches.
        tiny: read a small copy that our code draws in the dataset's own format; an error for a dataset without
            `draw_tiny`.
        flip: mirror whole training clips left to right, each with probability 1/2.
        pair_actions: a training clip is two clips of one identity, one after the other: 2 `clip_length` frames.
        store_url: folder of a finished store, elsewhere or here, that is read instead of building one: s3://..., gs://...,
            https://..., a path. Its files come into `root`/cache when they are first used.
        cache_gb: most gigabytes that this cache holds; the largest file of a store has to fit.
    """

    name: ClassVar[str]
    rights: ClassVar[str] = ""
    """In a sentence, what the data is and whose; it stands on the page of every exported model."""

    def __init__(
        self,
        *,
        root: str = "data",
        size: int | tuple[int, int] = 64,
        clip_length: int = 16,
        eval_clip_length: int | None = None,
        stride: int | tuple[int, int] = 1,
        eval_stride: int | None = None,
        batch_size: int = 20,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        tiny: bool = False,
        flip: bool = False,
        pair_actions: bool = False,
        store_url: str | None = None,
        cache_gb: float = 50,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.clip_length = clip_length
        self.eval_clip_length = clip_length if eval_clip_length is None else eval_clip_length
        self.stride, self.largest_stride = (stride, stride) if isinstance(stride, int) else stride
        self.eval_stride = self.stride if eval_stride is None else eval_stride
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.num_workers = num_workers
        self.batches_per_epoch = batches_per_epoch
        self.seed = seed
        self.tiny = tiny
        self.flip = flip
        self.pair_actions = pair_actions
        self.store_url = store_url
        self.cache_gb = cache_gb
        self.skipped: Counter[str] = Counter()
        self._store: Store | None = None
        self._check_options()

    @property
    def identity_names(self) -> list[str]:
        """What to call each identity label in pictures and tables."""
        return self.store.names("identity")

    @property
    def action_names(self) -> list[str]:
        """What to call each action label in pictures and tables."""
        return self.store.names("action")

    def attributes(self, identity: np.ndarray) -> dict[str, np.ndarray]:
        """The static factors to recognise in a clip; the identity itself where identities are not made of parts.

        Args: identity: any shape, int.   Returns: arrays of that shape by factor.
        """
        made_of = self.store.labels.attributes
        return {factor: np.asarray(values)[identity] for factor, values in made_of.items()} or {"identity": identity}

    @property
    def store(self) -> Store:
        """The clips, after `prepare_data` or `vdsm-glass prepare`.  Raises: DataError where neither was called."""
        if self._store is None:
            self._store = open_elsewhere(self)
        if self._store is None:
            place = locate(self)
            try:
                self._store = Store.open(place.folder, place.source)
            except FileNotFoundError:
                raise DataError(f"{place.folder} is not there. Run `vdsm-glass prepare {self.name}`.") from None
        return self._store

    def store_folder(self) -> Path:
        """Where the store is, or will be.  Raises: DataError where the source's files are missing."""
        return locate(self).folder

    def prepare_data(self) -> None:
        """Build the store if it is missing or damaged; Lightning calls this in one process a machine."""
        self._store = open_or_build(self)

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Open the store; Lightning calls this in every process."""
        _ = self.store

    def for_loader_process(self) -> VideoDataModule:
        """A copy without the trainer, which cannot be sent to a process that is not forked."""
        sent = copy(self)
        sent.trainer = None
        return sent

    def training_dataset(self) -> ClipDataset:
        """Random windows of the training clips.  Raises: DataError where no clip is long enough."""
        return ClipDataset(
            self.store.split("train"),
            length=self.clip_length,
            stride=(self.stride, self.largest_stride),
            flip=self.flip,
            pair=self.pair_actions,
            name=f"{self.name} train",
        )

    def evaluation_dataset(self, split: Split) -> ClipDataset:
        """The clips of `split`, any of the three, from their first frames.  Raises: as `training_dataset`."""
        return ClipDataset(
            self.store.split(split), length=self.eval_clip_length, stride=self.eval_stride, name=f"{self.name} {split}"
        )

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        """Random windows of the training clips; the loader can save and restore its position within an epoch.

        Raises: UserError for Lightning's `overfit_batches`, which would replace the sampler and take clips one by one.
        """
        trainer = self.trainer
        if getattr(trainer, "overfit_batches", 0):
            raise UserError("overfit_batches cannot be used with these loaders; set data.batches_per_epoch instead.")
        dataset = self.training_dataset()
        sampler = ClipSampler(
            dataset,
            batch_size=self.batch_size,
            batches=self.batches_per_epoch,
            seed=self.seed,
            **self._processes(),
        )
        current_epoch = None if trainer is None else lambda: trainer.current_epoch
        return ClipLoader(dataset=dataset, sampler=sampler, current_epoch=current_epoch, **self._loader_options())

    def val_dataloader(self) -> DataLoader[VideoBatch]:
        """Every validation clip once, from its first frame."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[VideoBatch]:
        """Every test clip once, from its first frame."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[VideoBatch]:
        """The test clips."""
        return self._evaluation_loader("test")

    def transfer_batch_to_device(self, batch: VideoBatch, device: torch.device, dataloader_idx: int) -> VideoBatch:  # noqa: ARG002
        """The batch on `device`, decoded there, without waiting for the copy as Lightning's own method does.

        Decoding is not in `on_after_batch_transfer`, because Lightning would then not call the model's own. A model
        that uses the first few clips of a training batch alone says how many in `clips_used`.
        """
        used = getattr(self.trainer.lightning_module, "clips_used", None) if self.trainer is not None else None
        return batch.map(lambda value: value[:used]).to(device, non_blocking=True).decoded()

    def _evaluation_loader(self, split: Split) -> DataLoader[VideoBatch]:
        dataset = self.evaluation_dataset(split)
        processes = self._processes()
        if len(dataset) < processes["world_size"]:
            raise DataError(
                f"{self.name} has {len(dataset)} {split} clips for {processes['world_size']} processes. Use fewer."
            )
        sampler = EvaluationSampler(dataset, batch_size=self.eval_batch_size, **processes)
        return DataLoader(dataset, sampler=sampler, **self._loader_options())

    def _loader_options(self) -> dict[str, Any]:
        return {
            "batch_size": None,  # the sampler yields whole batches
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }

    def _processes(self) -> dict[str, int]:
        if self.trainer is None:
            return {"world_size": 1, "rank": 0}
        return {"world_size": self.trainer.world_size, "rank": self.trainer.global_rank}

    def _options(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def _check_options(self) -> None:
        if self.tiny and type(self).draw_tiny is ClipSource.draw_tiny:
            raise UserError(f"{self.name} has no tiny copy: leave tiny out, or give the dataset a method `draw_tiny`.")
        if self.largest_stride < self.stride:
            found = self.stride, self.largest_stride
            raise UserError(f"{self.name}: stride is {found}; expected one number, or the least and then the most.")
        self._check_least(0, "num_workers", "seed")
        self._check_least(1, "height", "width", "batches_per_epoch")
        self._check_least(
            1, "clip_length", "eval_clip_length", "stride", "eval_stride", "batch_size", "eval_batch_size"
        )

    def _check_least(self, least: int, *options: str) -> None:
        """Raises: UserError where one of the `options` is below `least`; None counts as large enough."""
        for option in options:
            value = getattr(self, option)
            if value is not None and value < least:
                raise UserError(f"{self.name}: {option} is {value}; expected at least {least}.")

    def _check_part(self, *options: str) -> None:
        """Raises: UserError where one of the `options` is not a part of the whole: above 0 and below 1."""
        for option in options:
            if not 0 < getattr(self, option) < 1:
                raise UserError(f"{self.name}: {option} is {getattr(self, option)}; expected above 0 and below 1.")
