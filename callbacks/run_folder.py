"""Moves a run into its folder when it starts."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from vdsm_glass import runs


class RunFolder(Callback):
    """Sets `trainer.default_root_dir` to the run folder on every process, and writes the config there.

    The first process has made the folder, and broadcasts its path here, once the processes are connected, so that
    torchrun, SLURM and Lightning's launcher need no preparation. It must be the first callback.

    Args:
        folder: the run folder; only the first process's is used.
        config: the whole config as YAML. A resumed run keeps its config and adds a changed one as
            config.resume-<n>.yaml.
    """

    def __init__(self, folder: Path | None, config: str) -> None:
        self.folder = folder
        self.config = config

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning has no public way to change it once the Trainer exists.
        trainer._default_root_dir = trainer.strategy.broadcast(str(self.folder))  # pyright: ignore[reportAttributeAccessIssue]
        folder = Path(trainer.default_root_dir)
        for callback in trainer.checkpoint_callbacks:
            if getattr(callback, "dirpath", folder) is None:
                # A ModelCheckpoint would otherwise write to the first logger's folder.
                callback.dirpath = str(folder / runs.CHECKPOINTS)  # pyright: ignore[reportAttributeAccessIssue]
        if trainer.is_global_zero:
            self.write_config(folder)
            runs.link_latest(folder)

    def write_config(self, folder: Path) -> None:
        """Writes the config, unless the folder has one of the same content."""
        written = [folder / runs.CONFIG, *sorted(folder.glob("config.resume-*.yaml"))]
        if not written[0].is_file():
            written[0].write_text(self.config, encoding="utf-8")
        elif all(file.read_text(encoding="utf-8") != self.config for file in written):
            (folder / f"config.resume-{len(written)}.yaml").write_text(self.config, encoding="utf-8")
