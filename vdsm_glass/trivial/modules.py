"""How trivial models pass through `fit`: they keep what they are shown, and no weight changes."""

from __future__ import annotations

from typing import Any

import torch
from einops import repeat
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from data_modules.batch import VideoBatch
from vdsm_glass.registry import model_of
from vdsm_glass.trivial.networks import Memory, RigidCrop


class TrivialModule(LightningModule):
    """A model without anything to train.  Args: net; arguments, of the network, which a checkpoint keeps."""

    kind: str

    def __init__(self, net: nn.Module, **arguments: Any) -> None:
        super().__init__()
        self.save_hyperparameters({"kind": self.kind, **arguments})
        self.net = net
        self.automatic_optimization = False
        # Lightning counts the steps of an optimiser, and an optimiser needs a parameter.
        self.untrained = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: VideoBatch) -> None:
        self.look(batch.video)
        self.optimizers().step()  # pyright: ignore[reportAttributeAccessIssue]

    def look(self, video: Tensor) -> None:
        """Keeps of training clips (b, t, 3, h, w) in [0, 1] what the model needs."""

    def validation_step(self, batch: VideoBatch) -> Tensor | None:
        return self.compare(batch, "val")

    def test_step(self, batch: VideoBatch) -> Tensor | None:
        return self.compare(batch, "test")

    def compare(self, batch: VideoBatch, stage: str) -> Tensor | None:
        """Logs the mean squared error of reconstructions as `<stage>/loss`.

        Returns: the actions (b, t-1) of a model that chooses some, for the callback that evaluates them.
        """
        model: Any = model_of(self)
        self.log_error(model.reconstruct(batch.video), batch, stage)

    def log_error(self, drawn: Tensor, batch: VideoBatch, stage: str) -> None:
        """Logs the mean squared error of clips as `<stage>/loss`."""
        loss = (drawn - batch.video).square().mean()
        self.log(f"{stage}/loss", loss, batch_size=len(batch), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.untrained], lr=1.0)


class FirstFrameModule(TrivialModule):
    """Copies the first frame."""

    kind = "first_frame"

    def __init__(self) -> None:
        super().__init__(nn.Identity())


class MemoryModule(TrivialModule):
    """Keeps training clips.

    Args: clips, how many; frames, of each, from the first; size, their height and width.
    """

    net: Memory

    def __init__(self, clips: int = 256, frames: int = 12, size: tuple[int, int] = (96, 128)) -> None:
        super().__init__(Memory(clips=clips, frames=frames, size=size), clips=clips, frames=frames, size=list(size))

    def look(self, video: Tensor) -> None:
        self.net.keep(video)


class NearestClipModule(MemoryModule):
    """Shows the nearest training clip."""

    kind = "nearest_clip"


class RandomActionModule(MemoryModule):
    """Goes on as a random training clip that begins alike. One action is drawn for each clip and holds to its end."""

    kind = "random_action"

    def compare(self, batch: VideoBatch, stage: str) -> Tensor:
        model: Any = model_of(self)
        clips, frames = batch.video.shape[:2]
        action = torch.randint(model.k, (clips,), device=self.device)
        self.log_error(model.acted(batch.video, action, frames), batch, stage)
        return repeat(action, "b -> b t", t=frames - 1)


class TrueShiftsModule(TrivialModule):
    """Moves the figure of the first frame by the true shifts.

    Args: threshold, in [0, 1]: where no mask is known, a pixel that differs by more from the background is the
        figure's.
    """

    kind = "true_shifts"

    def __init__(self, threshold: float = 0.1) -> None:
        super().__init__(RigidCrop(threshold=threshold), threshold=threshold)
