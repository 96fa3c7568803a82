"""Annealing of VDSM: the weights on the KLs and the temperature, epoch by epoch."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from data_modules.common.errors import UserError
from vdsm_glass.schedules import Schedule, share_of_epochs
from vdsm_glass.vdsm.module import VDSMModule


class KLAnnealing(Callback):
    """Applies λ_z, λ_s, λ_d and τ_s at the start of every epoch, logs them, and draws them once.

    [VDSM suppl. Fig. 1 and 2]. A knot's position is the share of the stage's epochs, 0 to 1. The picture goes to
    `<run>/pictures/schedules.png`. Nothing is kept between epochs: on resume the values follow from the epoch.

    Args:
        lambda_z, lambda_s, lambda_d: weights on the KL of pose, identity and dynamics; None leaves 1.
        tau_s: what sharpens s̃ = softmax(τ_s s); None leaves what the checkpoint holds.
    """

    def __init__(
        self,
        lambda_z: Schedule | None = None,
        lambda_s: Schedule | None = None,
        lambda_d: Schedule | None = None,
        tau_s: Schedule | None = None,
    ) -> None:
        given = {"kl_z": lambda_z, "kl_s": lambda_s, "kl_d": lambda_d, "tau_s": tau_s}
        self.schedules = {name: schedule for name, schedule in given.items() if schedule is not None}

    def values(self, trainer: Trainer) -> dict[str, float]:
        """The value of every schedule in this epoch."""
        position = share_of_epochs(epoch=trainer.current_epoch, max_epochs=epochs_of(trainer))
        return {name: schedule(position) for name, schedule in self.schedules.items()}

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        """Draws the whole stage's schedules, as in the supplementary's Fig. 1 and 2."""
        from vdsm_glass.pictures import draw_curves

        epochs = epochs_of(trainer)
        positions = [share_of_epochs(epoch=epoch, max_epochs=epochs) for epoch in range(epochs)]
        curves = {name: list(map(schedule, positions)) for name, schedule in self.schedules.items()}
        draw_curves(curves, Path(trainer.default_root_dir) / "pictures" / "schedules.png", across="epoch")

    def on_train_start(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        # A run that is resumed in mid-epoch gets no `on_train_epoch_start`.
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        pl_module.anneal(**self.values(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        pl_module.log_dict({f"schedule/{name}": value for name, value in self.values(trainer).items()})


def epochs_of(trainer: Trainer) -> int:
    """The number of epochs the stage lasts.  Raises: UserError, it has no end."""
    if trainer.max_epochs is None or trainer.max_epochs < 1:
        raise UserError(
            "schedules over epochs need to know how many there are, and trainer.max_epochs is not set; set it, and end "
            "a run early with --trainer.max_steps or --trainer.max_time if you must"
        )
    return trainer.max_epochs
