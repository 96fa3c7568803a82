"""Pictures of what VDSM has learned, while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from callbacks.drawing import Drawing, clips_of_each_label, scaled
from data_modules.loading.clips import ClipDataset
from vdsm_glass.generate.vdsm import VDSMFramesModel, VDSMModel, decode_grid
from vdsm_glass.pictures import grid, strip, with_margins, write_gif, write_png


class VDSMPictures(Drawing):
    """Reconstructions, the swap grid, and after stage 2 transfers and rollouts, to disk and to W&B.

    When, and where to: see `Drawing`.

    `reconstruction.png` pairs of rows, a clip above its reconstruction;
    `swap.png`, `swap.gif` row i has the identity of its first cell, column j the motion of its top cell [Fig. 5-9];
    `samples.gif` clips from the prior; `samples_fitted.gif` from the density fitted to training clips, if it is there;
    `transfer.gif` (stage 2) the actions of the grid's columns unfolded on its rows' identities, `rollout_steps` frames;
    `rollout.gif`, `rollout.png` (stage 2) `rollout_steps` frames of d: the real video where it lasts, the poses of
    the guide, those of the transition [Fig. 4].

    Args:
        every_n_epochs, fps: see `Drawing`.
        identities, actions: rows and columns of the grid, of different labels where labels are known.
        rollout_steps: frames.
    """

    def __init__(
        self,
        every_n_epochs: int = 10,
        identities: int = 6,
        actions: int = 6,
        rollout_steps: int = 60,
        fps: float = 10.0,
    ) -> None:
        super().__init__(every_n_epochs=every_n_epochs, fps=fps)
        self.identities, self.actions, self.rollout_steps = identities, actions, rollout_steps

    def draw(self, model: Any, dataset: ClipDataset, folder: Path) -> list[Path]:
        people = self.clips(dataset, "identity", self.identities, model.device)
        motions = self.clips(dataset, "action", self.actions, model.device)
        written = [*self.draw_reconstruction(model, people, folder), *self.draw_swap(model, people, motions, folder)]
        if "rollout" in model.can:
            written += self.draw_transfer(model, people, motions, folder)
            written += self.draw_rollout(model, dataset, motions, folder)
        return written + self.draw_samples(model, folder)

    def clips(self, dataset: ClipDataset, label: str, count: int, device: torch.device) -> Tensor:
        """(count, t, 3, h, w): clips whose labels differ as far as the split has different ones."""
        return dataset[clips_of_each_label(dataset, label, count)].to(device).decoded().video

    def draw_reconstruction(self, model: VDSMFramesModel, video: Tensor, folder: Path) -> list[Path]:
        pairs = torch.stack([video, model.reconstruct(video)], dim=1).flatten(end_dim=1)
        return [write_png(strip(scaled(pairs), frames=8), folder / "reconstruction.png")]

    def draw_swap(self, model: VDSMFramesModel, people: Tensor, motions: Tensor, folder: Path) -> list[Path]:
        video = grid(scaled(with_margins(model.swap(motions, people), rows=people, columns=motions)))
        middle = video[len(video) // 2]
        return [write_png(middle, folder / "swap.png"), write_gif(video, folder / "swap.gif", fps=self.fps)]

    def draw_transfer(self, model: VDSMModel, people: Tensor, motions: Tensor, folder: Path) -> list[Path]:
        z = model.network.rollout(model.network.dynamics(motions), steps=self.rollout_steps)
        cells = decode_grid(model.network, z, model.encode(people).s)
        return [write_gif(grid(scaled(cells)), folder / "transfer.gif", fps=self.fps)]

    def draw_samples(self, model: VDSMFramesModel, folder: Path) -> list[Path]:
        written = []
        for density in model.densities:
            clips = model.sample(self.identities * self.actions, steps=16, seed=0, density=density)
            cells = rearrange(clips, "(n m) t c h w -> n m t c h w", n=self.identities)
            name = "samples.gif" if density == "prior" else f"samples_{density}.gif"
            written.append(write_gif(grid(scaled(cells)), folder / name, fps=self.fps))
        return written

    def draw_rollout(self, model: VDSMModel, dataset: ClipDataset, motions: Tensor, folder: Path) -> list[Path]:
        kinds = [self.whole(dataset, clips_of_each_label(dataset, "action", self.actions), like=motions)]
        kinds.append(model.rollout(motions, steps=self.rollout_steps))
        kinds.append(model.rollout(motions, steps=self.rollout_steps, dynamics="prior"))
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
