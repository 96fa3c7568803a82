"""metrics.csv in the run folder; a resumed run continues it."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from data_modules.common.files import naming


class RunCSVLogger(CSVLogger):
    """Writes `<folder>/metrics.csv`, one row per logged step, each on the disk before the next step ends.

    Args: folder, by default the run folder, which the command line sets by `enter`.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__(save_dir=folder or ".", name="", version="", flush_logs_every_n_steps=1)
        self._steps_done = 0

    def enter(self, folder: Path, *, steps_done: int = 0) -> None:
        """Sets the folder.  Args: steps_done, the optimiser steps in the checkpoint that the run is resumed from."""
        self._save_dir = self._root_dir = str(folder)
        self._steps_done = steps_done

    @property
    def log_dir(self) -> str:
        """The run folder itself."""
        return self._save_dir

    @property
    def experiment(self) -> Any:
        """The writer. When it is made, it removes the rows that an interrupted run wrote after its checkpoint."""
        if self._experiment is None and rank_zero_only.rank == 0:
            self._experiment = RunWriter(self._save_dir, steps_done=self._steps_done)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        """Does nothing, because config.yaml holds all hyper-parameters."""


class RunWriter(ExperimentWriter):
    """Rows of metrics.csv.

    Args:
        log_dir: the folder.
        steps_done: rows of later steps are dropped; rows of the last one are not written a second time.
    """

    def __init__(self, log_dir: str, *, steps_done: int = 0) -> None:
        super().__init__(log_dir)
        self._last_step = steps_done - 1
        rows = [row for row in self._rows() if self._is_whole(row) and int(row["step"]) <= self._last_step]
        self._written = {self._filled(row) for row in rows if int(row["step"]) == self._last_step}
        if rows:
            self.metrics_keys = sorted(rows[0])
            self._replace(rows)
        else:
            Path(self.metrics_file_path).unlink(missing_ok=True)

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        """Records a row, unless it is there from the interrupted run, or because a checkpoint was to be written."""
        if step is not None and step != self._last_step:
            self._last_step, self._written = step, set()
        if self._filled(metrics_dict) in self._written:
            return
        self._written.add(self._filled(metrics_dict))
        super().log_metrics(dict(metrics_dict), step)

    def save(self) -> None:
        """Writes what was recorded.  Raises: OSError of metrics.csv, it cannot be written."""
        with naming(self.metrics_file_path):
            super().save()

    def _check_log_dir_exists(self) -> None:
        # Lightning's method deletes an earlier metrics.csv.
        pass

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._replace(self._rows(), fieldnames)

    def _rows(self) -> list[dict[str, str]]:
        file = Path(self.metrics_file_path)
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        # What follows the last newline is incomplete.
        return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))

    def _replace(self, rows: list[dict[str, str]], fieldnames: list[str] | None = None) -> None:
        # Atomically: a process killed while it writes in place would lose the run's history.
        temporary = Path(f"{self.metrics_file_path}.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=fieldnames or self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.metrics_file_path)

    @staticmethod
    def _is_whole(row: dict[str, Any]) -> bool:
        return None not in row.values() and None not in row and str(row.get("step", "")).isdigit()

    @staticmethod
    def _filled(row: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(name for name, value in row.items() if value != "" and name != "step")
