"""Pictures of what GLASS has learned, while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from callbacks.action_pictures import ActionPictures
from callbacks.drawing import scaled
from data_modules.batch import VideoBatch
from data_modules.loading.clips import ClipDataset
from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.glass.net import GLASS
from vdsm_glass.pictures import grid, write_png


class GLASSPictures(ActionPictures):
    """The layers of frames, reconstructions, transfers and action matrices, to disk and to W&B.

    When, and where to: see `Drawing`.

    `layers.png` columns are clips, the first and the last frame of each; rows are the frame, its true mask where that
    is known, M's mask, the foreground on grey and the inpainted background [GLASS Fig. 8];
    `reconstruction.png`, `.gif` a clip above what was animated from its first frame [Figs. 11, 12];
    `transfer.png`, `.gif` row i begins with the first frame at its left, column j has the actions of the clip above it;
    the picture shows the last frames [Figs. 5, 11, 12];
    `local_actions.png`, `.gif` each local action held for 8 frames without a shift; the picture shows the first frame
    and the last ones [Figs. 16-18];
    `global_actions.png`, `.gif` the shifts right, left, down, up and none, held alike [Figs. 13-15];
    `shifted_foregrounds.png` one step of them: the foreground before it in green, after it in red [Fig. 7].

    Args:
        every_n_epochs, fps: see `Drawing`.
        clips: how many are shown, of different identities where these are known.
        shift: of the global actions, pixels of the frame.
        local_action: the one that goes with the shifts.
    """

    def __init__(
        self, every_n_epochs: int = 5, clips: int = 4, shift: float = 7.0, local_action: int = 0, fps: float = 8.0
    ) -> None:
        super().__init__(every_n_epochs=every_n_epochs, clips=clips, fps=fps)
        self.shift, self.local_action = shift, local_action

    def draw(self, model: GLASSModel, dataset: ClipDataset, folder: Path) -> list[Path]:
        batch = self.chosen(dataset).to(model.device).decoded()
        return [
            write_png(scaled(layers_panel(model.network, batch)), folder / "layers.png"),
            *self.draw_reconstruction(model, batch.video, folder),
            *self.draw_transfer(model, batch.video, folder),
            *self.draw_matrices(model, batch.video[:, :1], folder),
        ]

    def draw_matrices(self, model: GLASSModel, first: Tensor, folder: Path) -> list[Path]:
        shifts: dict[str, Any] = {"pixels": self.shift, "local_action": self.local_action}
        overlay = model.overlay(first, **shifts)
        return [
            *self.draw_matrix("local_actions", model.action_matrix(first), first, folder),
            *self.draw_matrix("global_actions", model.action_matrix(first, of="global", **shifts), first, folder),
            write_png(grid(scaled(overlay)), folder / "shifted_foregrounds.png"),
        ]


def layers_panel(net: GLASS, batch: VideoBatch) -> Tensor:
    """(3, H, W): what `layers.png` shows."""
    ends = [0, -1]
    video = batch.video[:, ends]
    layers = net.gma.separate(2 * video - 1)
    masks = [layers.m] if batch.mask is None else [batch.mask[:, ends], layers.m]
    rows = [video, *(mask.expand_as(video) for mask in masks), (layers.f + 1) / 2, (layers.b_hat + 1) / 2]
    return grid(rearrange(torch.stack(rows), "row b t c h w -> row (b t) c h w"))
