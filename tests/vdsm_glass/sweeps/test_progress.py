"""How far trials have come: read from what a run writes while it writes it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from vdsm_glass.sweeps import progress
from vdsm_glass.sweeps.progress import SweepProgress, epochs, last_row


def run(folder: Path, *, epoch: int, trainer: str = "{max_epochs: 8}") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"seed_everything: 0\ntrainer: {trainer}\n", encoding="utf-8")
    (folder / "metrics.csv").write_text(f"epoch,loss,step\n0,3.5,9\n{epoch},2.5,19\n", encoding="utf-8")


@pytest.mark.parametrize("cut", ["", "7,", "7,1.5,2"])
def test_a_row_that_is_being_written_does_not_count(cut: str, tmp_path: Path):
    file = tmp_path / "metrics.csv"
    file.write_text(f"epoch,loss,step\n0,3.5,9\n1,2.5,19\n{cut}", encoding="utf-8")
    assert last_row(file) == {"epoch": "1", "loss": "2.5", "step": "19"}


def test_the_last_row_of_a_long_file_is_found_without_reading_all(tmp_path: Path):
    file = tmp_path / "metrics.csv"
    rows = "".join(f"{step // 100},{step}\n" for step in range(20_000))
    file.write_text("epoch,step\n" + rows, encoding="utf-8")
    assert file.stat().st_size > progress.TAIL_BYTES
    assert last_row(file) == {"epoch": "199", "step": "19999"}


@pytest.mark.parametrize("content", [None, "", "epoch,loss", "epoch,loss\n"])
def test_there_may_be_no_row_yet(content: str | None, tmp_path: Path):
    file = tmp_path / "metrics.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert last_row(file) == {}


def test_epochs_of_how_many(tmp_path: Path):
    assert epochs(tmp_path) is None
    run(tmp_path, epoch=5)
    assert epochs(tmp_path) == (5, 8)
    for endless in ("{max_epochs: -1}", "{max_epochs: null, max_steps: 100}", ""):
        run(tmp_path, epoch=5, trainer=endless)
        assert epochs(tmp_path) == (5, None)
    (tmp_path / "config.yaml").unlink()
    assert epochs(tmp_path) is None


def test_a_terminal_shows_a_bar_for_every_trial_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0)
    out = StringIO()
    run(tmp_path / "kappa-4" / "latest", epoch=5)
    with SweepProgress(tmp_path, trials=3, console=Console(file=out, force_terminal=True, width=100)) as shown:
        shown.show(["kappa-4", "kappa-8"], 1)
        shown.progress.refresh()
        first = out.getvalue()
        shown.say("kappa-4: done [1/3]")
        shown.show(["kappa-8"], 2)
        bars = [task.description.strip() for task in shown.progress.tasks]
    assert all(words in first for words in ("trial 1/3", "kappa-4", "epoch 5/8", "kappa-8", "starts"))
    assert bars == [tmp_path.name, "kappa-8"]
    assert "kappa-4: done [1/3]" in out.getvalue()


def test_a_file_gets_lines_only(tmp_path: Path):
    out = StringIO()
    run(tmp_path / "t" / "latest", epoch=5)
    line = "t: begins, and this line is longer than eighty columns, which a file is not broken at, nor is any [/name]"
    with SweepProgress(tmp_path, trials=1, console=Console(file=out)) as shown:
        shown.show(["t"], 0)
        shown.say(line)
    assert out.getvalue() == line + "\n"
