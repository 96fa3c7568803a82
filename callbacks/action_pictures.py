"""Pictures of what a model that infers and draws actions has learned, while it learns."""

from __future__ import annotations

from pathlib import Path

import torch
from einops import rearrange, repeat
from torch import Tensor

from callbacks.drawing import Drawing, clips_of_each_label, scaled
from data_modules.batch import VideoBatch
from data_modules.loading.clips import ClipDataset
from vdsm_glass.generate.animated import AnimatedModel
from vdsm_glass.pictures import grid, strip, with_margins, write_gif, write_png


class ActionPictures(Drawing):
    """Reconstructions, transfers and the matrix of actions, to disk and to W&B.

    When, and where to: see `Drawing`.

    `reconstruction.png`, `.gif` a clip above what was drawn from its first frame;
    `transfer.png`, `.gif` row i begins with the first frame at its left, column j has the actions of the clip above it;
    the picture shows the last frames;
    `local_actions.png`, `.gif` each action held for 8 frames; the picture shows the first frame and the last ones.

    Args:
        every_n_epochs, fps: see `Drawing`.
        clips: how many are shown, of different identities where these are known.
    """

    def __init__(self, every_n_epochs: int = 5, clips: int = 4, fps: float = 8.0) -> None:
        super().__init__(every_n_epochs=every_n_epochs, fps=fps)
        self.clips = clips

    def draw(self, model: AnimatedModel, dataset: ClipDataset, folder: Path) -> list[Path]:
        video = self.chosen(dataset).to(model.device).decoded().video
        return [
            *self.draw_reconstruction(model, video, folder),
            *self.draw_transfer(model, video, folder),
            *self.draw_matrix("local_actions", model.action_matrix(video[:, :1]), video[:, :1], folder),
        ]

    def chosen(self, dataset: ClipDataset) -> VideoBatch:
        """The clips that are shown."""
        return dataset[clips_of_each_label(dataset, "identity", self.clips)]

    def draw_reconstruction(self, model: AnimatedModel, video: Tensor, folder: Path) -> list[Path]:
        pairs = scaled(torch.stack([video, model.reconstruct(video)]))
        rows = rearrange(pairs, "pair b t c h w -> (b pair) t c h w")
        return [
            write_png(strip(rows, frames=8), folder / "reconstruction.png"),
            write_gif(grid(pairs), folder / "reconstruction.gif", fps=self.fps),
        ]

    def draw_transfer(self, model: AnimatedModel, video: Tensor, folder: Path) -> list[Path]:
        first = repeat(video[:, 0], "b c h w -> b t c h w", t=video.shape[1])
        moving = grid(scaled(with_margins(model.swap(video), rows=first, columns=video)))
        return [
            write_png(moving[-1], folder / "transfer.png"),
            write_gif(moving, folder / "transfer.gif", fps=self.fps),
        ]

    def draw_matrix(self, name: str, cells: Tensor, first: Tensor, folder: Path) -> list[Path]:
        last = torch.cat([first, cells[:, :, -1]], dim=1)
        return [
            write_png(grid(scaled(last)), folder / f"{name}.png"),
            write_gif(grid(scaled(cells)), folder / f"{name}.gif", fps=self.fps),
        ]
