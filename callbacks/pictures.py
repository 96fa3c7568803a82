"""Pictures of what VDSM has learned, while it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.clips import ClipDataset
from data_modules.store import Split
from vdsm_glass.generate.reconstruct import reconstruct
from vdsm_glass.generate.sample import sample
from vdsm_glass.generate.swap import swap_grid
from vdsm_glass.generate.transfer import rollout, transfer
from vdsm_glass.pictures import enlarge, grid, strip, with_margins, write_gif, write_png
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.module import VDSMModule
from vdsm_glass.vdsm.sequences import SequenceVDSM

SMALLEST_CELL = 64


class VDSMPictures(Callback):
    """Reconstructions, the swap grid, and after stage 2 transfers and rollouts, to disk and to W&B.

    After a validation, `every_n_epochs` apart, and at the end of training, from validation clips; at the end
    of a test, from test clips. Into `<run>/pictures/`, the same files anew each time:

    `reconstruction.png` pairs of rows, a clip above its reconstruction;
    `swap.png`, `swap.gif` row i has the identity of its first cell, column j the motion of its top cell [Fig. 5-9];
    `samples.gif` clips from the prior;
    `transfer.gif` (stage 2) the actions of the grid's columns unfolded on its rows' identities, `rollout_steps` frames;
    `rollout.gif`, `rollout.png` (stage 2) `rollout_steps` frames of d: the real video where it lasts, the poses of
    the guide, those of the transition [Fig. 4].

    Args:
        every_n_epochs: how often at most; 0 for the end only.
        identities, actions: rows and columns of the grid, of different labels where labels are known.
        rollout_steps: frames.
        fps: of the moving pictures, frames a second.
    """

    def __init__(
        self,
        every_n_epochs: int = 10,
        identities: int = 6,
        actions: int = 6,
        rollout_steps: int = 60,
        fps: float = 10.0,
    ) -> None:
        self.every_n_epochs = every_n_epochs
        self.identities = identities
        self.actions = actions
        self.rollout_steps = rollout_steps
        self.fps = fps
        self._drawn_at = 0

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        due = self.every_n_epochs and trainer.current_epoch + 1 - self._drawn_at >= self.every_n_epochs
        if due and not trainer.sanity_checking:
            self._drawn_at = trainer.current_epoch + 1
            self.draw(trainer, pl_module, split="val")

    def on_train_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        pl_module.eval()
        self.draw(trainer, pl_module, split="val")

    def on_test_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        self.draw(trainer, pl_module, split="test")

    @torch.no_grad()
    def draw(self, trainer: Trainer, pl_module: VDSMModule, *, split: Split) -> None:
        """Draws everything from `split`, in one process."""
        if not trainer.is_global_zero:
            return
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        net = pl_module.net
        dataset = ClipDataset(data.store.split(split), length=data.eval_clip_length, stride=data.stride, name=split)
        people = self.clips(dataset, "identity", self.identities, pl_module.device)
        motions = self.clips(dataset, "action", self.actions, pl_module.device)
        folder = Path(trainer.default_root_dir) / "pictures"
        written = [*self.draw_reconstruction(net, people, folder), *self.draw_swap(net, people, motions, folder)]
        if isinstance(net, SequenceVDSM):
            written += self.draw_transfer(net, people, motions, folder)
            written += self.draw_rollout(net, dataset, motions, folder)
        written += self.draw_samples(net, folder)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                upload(logger, written, prefix=split)

    def clips(self, dataset: ClipDataset, label: str, count: int, device: torch.device) -> Tensor:
        """(count, t, 3, h, w): clips whose labels differ as far as the split has different ones."""
        return dataset[cast(dataset, label, count)].video.to(device)

    def draw_reconstruction(self, net: FrameVDSM | SequenceVDSM, video: Tensor, folder: Path) -> list[Path]:
        pairs = torch.stack([video, reconstruct(net, video)], dim=1).flatten(end_dim=1)
        return [write_png(strip(scaled(pairs), frames=8), folder / "reconstruction.png")]

    def draw_swap(self, net: FrameVDSM | SequenceVDSM, people: Tensor, motions: Tensor, folder: Path) -> list[Path]:
        cells = swap_grid(net, motion=net.encode(motions), identity=net.encode(people))
        video = grid(scaled(with_margins(cells, rows=people, columns=motions)))
        middle = video[len(video) // 2]
        return [write_png(middle, folder / "swap.png"), write_gif(video, folder / "swap.gif", fps=self.fps)]

    def draw_transfer(self, net: SequenceVDSM, people: Tensor, motions: Tensor, folder: Path) -> list[Path]:
        cells = transfer(net, actions=motions, identities=people, steps=self.rollout_steps)
        return [write_gif(grid(scaled(cells)), folder / "transfer.gif", fps=self.fps)]

    def draw_samples(self, net: FrameVDSM | SequenceVDSM, folder: Path) -> list[Path]:
        generator = torch.Generator(device=next(net.parameters()).device).manual_seed(0)
        clips = sample(net, count=self.identities * self.actions, steps=16, generator=generator)
        cells = rearrange(clips, "(n m) t c h w -> n m t c h w", n=self.identities)
        return [write_gif(grid(scaled(cells)), folder / "samples.gif", fps=self.fps)]

    def draw_rollout(self, net: SequenceVDSM, dataset: ClipDataset, motions: Tensor, folder: Path) -> list[Path]:
        latents = net.encode(motions)
        truth = self.whole(dataset, cast(dataset, "action", self.actions), like=motions)
        kinds = [truth] + [
            rollout(net, latents.d, latents.s, steps=self.rollout_steps, dynamics=kind)  # pyright: ignore[reportArgumentType]
            for kind in ("posterior", "prior")
        ]
        video = grid(scaled(torch.stack(kinds)))
        rows = torch.stack(kinds, dim=1).flatten(end_dim=1)
        return [
            write_gif(video, folder / "rollout.gif", fps=self.fps),
            write_png(strip(scaled(rows), frames=15), folder / "rollout.png"),
        ]

    def whole(self, dataset: ClipDataset, positions: list[int], *, like: Tensor) -> Tensor:
        """(b, rollout_steps, 3, h, w): the real videos as far as they go, then mid-grey."""
        truth = torch.full((len(positions), self.rollout_steps, *like.shape[2:]), 0.5, device=like.device)
        for row, clip in zip(truth, dataset.usable[positions].tolist(), strict=True):
            frames = dataset.split.frames(clip, stride=dataset.stride)[: self.rollout_steps]
            row[: len(frames)] = torch.from_numpy(frames.copy()).to(row) / 255
        return truth


def cast(dataset: ClipDataset, label: str, count: int) -> list[int]:
    """Positions of at most `count` clips, of different labels as far as there are different ones."""
    values = np.asarray(dataset.split.array(label))
    values = values[dataset.usable] if len(values) == len(dataset.split) else np.zeros(len(dataset), np.int64)
    _, first = np.unique(values, return_index=True)
    others = np.setdiff1d(np.arange(len(dataset)), first)
    order = np.concatenate([spread(first, count), spread(others, count)])
    return order[:count].tolist()


def spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `values`, evenly spaced."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)]


def scaled(frames: Tensor) -> Tensor:
    """Frames large enough to be looked at."""
    return enlarge(frames, at_least=SMALLEST_CELL)


def upload(logger: WandbLogger, files: list[Path], *, prefix: str) -> None:
    """Logs pictures and moving pictures under `<prefix>/<name>`."""
    for file in files:
        if file.suffix == ".png":
            logger.log_image(key=f"{prefix}/{file.stem}", images=[str(file)])
        else:
            logger.log_video(key=f"{prefix}/{file.stem}", videos=[str(file)])
