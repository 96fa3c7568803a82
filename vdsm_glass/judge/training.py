"""From a dataset with labels to a judge of it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from vdsm_glass.checkpoints import read_checkpoint
from vdsm_glass.judge.file import Judge
from vdsm_glass.judge.labels import judgeable
from vdsm_glass.judge.module import JudgeModule
from vdsm_glass.judge.network import JudgeSizes


def train_judge(
    data: VideoDataModule,
    *,
    sizes: JudgeSizes,
    epochs: int,
    learning_rate: float = 1e-3,
    recolour: bool = False,
    accelerator: str = "auto",
    progress: bool = True,
) -> Judge:
    """Learns from the training split, keeps the epoch of the least validation loss and measures it on the test split.

    Args: learning_rate, recolour, see `JudgeModule`; progress, whether to show bars.
    Raises: UserError, no labels to learn, or frames that are too small.
    """
    if min(data.height, data.width) < sizes.smallest_frame:
        raise UserError(
            f"frames of {data.height}x{data.width} are too small for {len(sizes.channels)} convolutions that halve "
            f"them; give fewer --channels, or a larger --size"
        )
    if data.pair_actions:
        raise UserError("a judge learns from clips of one action, and pair_actions shows two; leave it off")
    data.prepare_data()
    classes = judgeable(data)
    seed_everything(data.seed, workers=True, verbose=False)
    module = JudgeModule(sizes, classes, data, learning_rate, recolour)
    with TemporaryDirectory() as folder:
        # The loss and not the accuracy, which many epochs share: the scores want probabilities that mean something.
        best = ModelCheckpoint(dirpath=folder, monitor="val/loss", save_weights_only=True)
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            logger=False,
            callbacks=[best],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=progress,
            gradient_clip_val=1.0,
        )
        trainer.fit(module, datamodule=data)
        module.load_state_dict(read_checkpoint(Path(best.best_model_path))["state_dict"])
        measured = trainer.test(module, datamodule=data, verbose=False)[0]
    return Judge(
        network=module.network.cpu().eval(),
        classes=classes,
        source=data.store.manifest["source"],
        frames=data.clip_length,
        accuracy={head: float(measured[f"test/{head}"]) for head in classes},
    )
