"""metrics.csv goes on where the checkpoint was taken."""

import csv
from pathlib import Path

import pytest
from lightning.pytorch.loggers import Logger

from callbacks import RunCSVLogger


def logger(folder: Path, steps_done: int = 0) -> RunCSVLogger:
    made = RunCSVLogger()
    made.enter(folder, steps_done=steps_done)
    return made


def log(to: Logger, *rows: tuple[int, dict[str, float]]) -> None:
    for step, metrics in rows:
        to.log_metrics(metrics, step=step)
        to.save()


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(lines)]


def test_every_row_is_on_the_disk_at_once_and_new_columns_keep_old_rows(tmp_path: Path):
    to = logger(tmp_path)
    log(to, (0, {"loss": 1.0}))
    assert read(tmp_path) == [{"step": "0", "loss": "1.0"}]
    log(to, (1, {"loss": 0.5, "extra": 2.0}))
    assert read(tmp_path) == [{"step": "0", "loss": "1.0"}, {"step": "1", "loss": "0.5", "extra": "2.0"}]


def test_rows_after_the_checkpoint_are_dropped_and_none_is_written_twice(tmp_path: Path):
    log(logger(tmp_path), *((step, {"loss": float(step)}) for step in range(5)), (4, {"val": 9.0}))
    resumed = logger(tmp_path, steps_done=3)
    # Step 2 was the last before the checkpoint: a validation after it was not logged yet, its loss was.
    log(resumed, (2, {"loss": 2.0}), (2, {"val": 7.0}), (3, {"loss": 30.0}))
    assert read(tmp_path) == [
        {"step": "0", "loss": "0.0"},
        {"step": "1", "loss": "1.0"},
        {"step": "2", "loss": "2.0"},
        {"step": "2", "val": "7.0"},
        {"step": "3", "loss": "30.0"},
    ]


@pytest.mark.parametrize("cut", ["3,0.1", "3", "3,0.12", ",", "\x00\x00"])
def test_a_row_that_was_cut_short_is_dropped(cut: str, tmp_path: Path):
    (tmp_path / "metrics.csv").write_text(f"step,loss\n1,0.5\n2,0.25\n{cut}", encoding="utf-8")
    log(logger(tmp_path, steps_done=10), (10, {"loss": 0.0}))
    assert [row["step"] for row in read(tmp_path)] == ["1", "2", "10"]


def test_a_new_run_begins_with_an_empty_file(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n", encoding="utf-8")
    log(logger(tmp_path), (0, {"loss": 1.0}))
    assert read(tmp_path) == [{"step": "0", "loss": "1.0"}]


def test_it_needs_no_command_line(tmp_path: Path):
    log(RunCSVLogger(folder=str(tmp_path)), (0, {"loss": 1.0}))
    assert read(tmp_path) == [{"step": "0", "loss": "1.0"}]
