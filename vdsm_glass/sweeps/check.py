"""Checks every trial's command line before the first of them trains."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence

from jsonargparse import Namespace

from data_modules.common.errors import UserError
from vdsm_glass import recipes
from vdsm_glass.commands.config_errors import ConfigChecker
from vdsm_glass.commands.train import RecipeCLI
from vdsm_glass.sweeps.definition import Sweep, Trial
from vdsm_glass.sweeps.parameters import SweepError


class CommandLines(RecipeCLI):
    """`fit`'s parser, built once and used for many command lines; it makes no model and runs nothing."""

    def _set_seed(self) -> None:
        """Does nothing: nothing is drawn."""

    def before_instantiate_classes(self) -> None:
        """Does nothing: no run is begun."""

    def instantiate_classes(self) -> None:
        """Does nothing: no model is made."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Does nothing."""

    def parsed(self, options: Sequence[str]) -> Namespace:
        """Parses a command line behind `fit`.  Raises: UserError, naming the key and the nearest valid one."""
        options = recipes.expand(options)
        checker = ConfigChecker(self.command, recipes.configs_in(options))
        checker.check_names(options)
        try:
            return self.parser.parse_args([self.command, *options])[self.command]
        except ArgumentError as error:
            raise checker.explain(str(error)) from error


def check(sweep: Sweep, trials: Sequence[Trial], options: Sequence[str] = ()) -> None:
    """Parses every trial's command line as `fit` will, and checks that the sweep's metric will be measured.

    Raises: SweepError, naming the file, the trial and what is wrong with it.
    """
    lines: CommandLines | None = None
    for trial in trials:
        words = sweep.arguments(trial, options)[1:]
        try:
            if lines is None:
                lines = CommandLines("fit", words)
                config = lines.config[lines.command]
            else:
                config = lines.parsed(words)
            check_is_validated(config, sweep.metric)
        except UserError as error:
            raise SweepError(f"{sweep.file}: trial {trial.name}: {error}") from error


def check_is_validated(config: Namespace, metric: str) -> None:
    """Raises: SweepError, the metric is measured in validation, and training ends before the first validation."""
    epochs, every = config.trainer.max_epochs, config.trainer.check_val_every_n_epoch
    if metric.startswith("val/") and every is not None and epochs is not None and 0 <= epochs < every:
        raise SweepError(
            f"{metric} is measured every {every} epochs, and training ends after {epochs}; give it "
            f"--trainer.max_epochs {every} or more, or --trainer.check_val_every_n_epoch 1"
        )
