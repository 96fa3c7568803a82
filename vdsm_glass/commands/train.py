"""`fit`, `validate`, `test` and `predict`: LightningCLI with recipes and run folders.

It puts models, data and `callbacks` together; `sweeps/check.py` and `report/demo.py` use it from Python.
"""

from __future__ import annotations

import logging
import re
import signal
import warnings
from argparse import ArgumentError
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException

from callbacks import (
    AtomicCheckpointIO,
    Evaluation,
    GracefulStop,
    NonFiniteGuard,
    RNGState,
    RunCheckpoint,
    RunCSVLogger,
    RunFolder,
    RunWandbLogger,
    SyncBatchNorm,
)
from data_modules.common.errors import UserError
from vdsm_glass import recipes, runs
from vdsm_glass.checkpoints import steps_in
from vdsm_glass.commands.arguments import join_sizes
from vdsm_glass.commands.config_errors import ConfigChecker
from vdsm_glass.processor import keep_freed_memory, precision_here

UNNAMED = "unnamed"
# 128 + the signal's number, as in shells.
LOST = "gloo|NCCL|Connection (closed|reset)"
"""What PyTorch's errors say where one of several processes is gone."""
WORKER = r"DataLoader worker \(pid.*(killed|exited)"
"""What they say where a process that loads data is gone."""
STOPPED = "so all processes of this training were stopped; go on from its last checkpoint with --ckpt_path last"
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def main(argv: list[str]) -> int:
    """Runs `fit|validate|test|predict ...` and returns the exit code."""
    command, *options = argv
    _quieten_lightning()
    if not torch.cuda.is_available():
        keep_freed_memory()
    try:
        cli = RecipeCLI(command, options)
    except SIGTERMException:
        return TERMINATED
    except ValueError as error:
        if (said := cause_of(error)) is None:
            raise
        raise said from error
    except ProcessExitedException as error:
        ended_by = f"by {error.signal_name}" if error.signal_name else f"with exit code {error.exit_code}"
        raise UserError(f"process {error.error_index} was ended {ended_by}, {STOPPED}") from error
    except RuntimeError as error:
        if re.search(WORKER, str(error)):
            raise UserError(
                f"a worker that loads data was ended from outside ({error}); where memory runs out, the system ends "
                "the largest process. Ask for fewer --data.num_workers, and go on with --ckpt_path last"
            ) from error
        if not distributed.is_initialized() or not re.search(LOST, str(error)):
            raise
        raise UserError(f"the connection to another process is lost, which has probably ended, {STOPPED}") from error
    except SystemExit as stop:
        # Lightning exits with code 1 after Ctrl-C.
        return INTERRUPTED if isinstance(stop.__context__, KeyboardInterrupt) else int(stop.code or 0)
    return TERMINATED if cli.trainer.received_sigterm else 0


def cause_of(error: BaseException) -> UserError | None:
    """What a model, data module or callback said when it was made; jsonargparse wraps it in an error of its own."""
    cause = error.__cause__
    return cause if cause is None or isinstance(cause, UserError) else cause_of(cause)


class RecipeCLI(LightningCLI):
    """One LightningCLI command, run in a folder of its own.

    Args:
        command: fit, validate, test or predict.
        options: its command line.
    """

    def __init__(self, command: str, options: list[str]) -> None:
        self.command = command
        self.recipe = next(iter(recipes.configs_in(options)), None)
        options = recipes.expand(join_sizes(options))
        self.files = recipes.configs_in(options)
        # Abbreviations would accept `--trainer.max_epoch`, which may be misspelt for another option.
        strict = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            model_class=LightningModule,
            datamodule_class=LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={
                "logger": [{"class_path": "callbacks.RunCSVLogger"}],
                "callbacks": [RNGState(), GracefulStop()],
            },
            parser_kwargs={**strict, command: strict},
            args=[command, *options],
        )

    def subcommands(self) -> dict[str, set[str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Only this command, because building the parsers of the other three takes as long each."""
        return {self.command: LightningCLI.subcommands()[self.command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `run`, our callbacks' options, and `base`, which `recipes.expand` has already merged."""
        parser.add_argument("--run", type=runs.RunOptions, default=runs.RunOptions())
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.add_lightning_class_args(NonFiniteGuard, "nan_guard")
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_argument(
            f"--{recipes.PARTS_KEY}",
            type=_merged_already,
            default=[],
            help="In a recipe: the files that it is merged over.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses the command line.  Raises: UserError, naming the key, its file and the nearest valid key."""
        checker = ConfigChecker(self.command, self.files)
        checker.check_names(args[1:])  # pyright: ignore[reportArgumentType, reportOptionalSubscript]
        try:
            self.config = parser.parse_args(args)  # pyright: ignore[reportArgumentType]
        except ArgumentError as error:
            raise checker.explain(str(error)) from error

    def _parse_ckpt_path(self) -> None:
        """Does nothing: the recipe defines the model, and a checkpoint's hyper-parameters do not override it."""

    def before_instantiate_classes(self) -> None:
        """Names the run and finds the checkpoint before anything is made."""
        config = self.config[self.command]
        if config.trainer.default_root_dir is not None:
            raise UserError("trainer.default_root_dir is the run's folder; choose it by --run.dir and --run.name")
        config.run.name = config.run.name or (recipes.name_of(self.recipe) if self.recipe else UNNAMED)
        self.paths = runs.RunPaths(command=self.command, options=config.run, ckpt_path=config.ckpt_path)
        config.ckpt_path = str(self.paths.checkpoint) if self.paths.checkpoint else None
        trainer = config.trainer
        precision = precision_here(str(trainer.precision), accelerator=str(trainer.accelerator))
        if trainer.precision is not None and precision != str(trainer.precision):
            rank_zero_info(f"This processor has no instructions for bfloat16, so trainer.precision is {precision}.")
            trainer.precision = precision

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, which writes to the run's folder."""
        chosen = self._get(self.config_init, "trainer")
        if chosen.enable_checkpointing is False:
            self._parser(self.command).callback_keys.remove("checkpoint")
        checkpoint = self.paths.checkpoint
        steps = steps_in(checkpoint, self.model, to_resume=self.command == "fit") if checkpoint else 0
        plugins: list[Any] = chosen.plugins or []
        plugins = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        if chosen.sync_batchnorm:
            plugins.append(SyncBatchNorm())
        several = str(chosen.devices) != "1" or chosen.num_nodes != 1  # from the command line it is a string
        if several and chosen.strategy == "auto" and getattr(self.model, "needs_unused_parameters", False):
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
        trainer = super().instantiate_trainer(plugins=plugins, **kwargs)
        config = self.saved_config()
        self.folder = self.paths.make_folder() if trainer.is_global_zero else None
        trainer.callbacks.insert(0, RunFolder(self.folder, config))  # pyright: ignore[reportAttributeAccessIssue]
        if self.folder is not None:
            self.send_loggers(trainer.loggers, self.folder, steps=steps, config=config)
        return trainer

    def send_loggers(self, loggers: list[Logger], folder: Path, *, steps: int, config: str) -> None:
        """Sets our loggers' folder to the run's; other loggers write where their options say."""
        for logger in loggers:
            if isinstance(logger, RunCSVLogger):
                logger.enter(folder, steps_done=steps if self.paths.resumes else 0)
            elif isinstance(logger, RunWandbLogger):
                logger.enter(folder, run=self.paths.run_folder, config=yaml.safe_load(config))

    def saved_config(self) -> str:
        """The whole config as YAML, without version and checkpoint, so that it can be run again."""
        config = self.config[self.command].clone()
        config.ckpt_path = config.run.version = None
        return self._parser(self.command).dump(config, skip_none=False)

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        finally:
            if self.folder is not None:
                runs.discard_if_empty(self.folder)


def _quieten_lightning() -> None:
    """Suppresses two messages of every run that no user can act on: a deprecation and an advertisement."""
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    told = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    told.addFilter(lambda record: "litlogger" not in record.getMessage())


def _merged_already(_: object) -> list[str]:
    """The value of `base` in a merged config: an empty list."""
    return []
