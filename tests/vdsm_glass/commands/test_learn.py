"""`vdsm-glass learn`: from a film to a model, stopped and gone on with, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from callbacks.clock import LEAST_STEPS, Clock
from callbacks.learning import LearningPage
from data_modules.drawings.tiny_video import write_film
from tests.vdsm_glass.learn.drawn import draw
from vdsm_glass.cli import main
from vdsm_glass.commands import learn
from vdsm_glass.learn.plan import SHARES

OPTIONS = ["--no-play", "--minutes", "3"]


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "walk.mp4", draw(frames=160, height=64, width=96).video)
    return tmp_path / "walk.mp4"


@pytest.mark.parametrize(
    ("options", "why"),
    [({"camera": 1.0}, "the camera moves"), ({"agents": 2}, "2 agents"), ({"walks": False}, "nothing moves")],
)
def test_what_cannot_work_is_refused_with_a_picture(
    options: dict, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "film.mp4", draw(frames=100, **options).video)
    assert main(["learn", "film.mp4", *OPTIONS]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert "runs/learn/film/seen.png" in said
    assert (tmp_path / "runs" / "learn" / "film" / "seen.png").is_file()
    assert not list(tmp_path.rglob("*.ckpt"))


def test_what_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["learn", str(tmp_path / "gone.mp4")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert main(["learn", str(tmp_path)]) == 2
    assert "holds no videos" in capsys.readouterr().err


def test_looking_alone_trains_nothing(film: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["learn", str(film), "--look-only"]) == 0
    said = capsys.readouterr().out
    assert "agents at once: 1" in said
    assert "θ = 0.0" in said
    assert not list(film.parent.rglob("*.ckpt"))


def test_a_film_is_learned_and_the_same_command_goes_on(
    film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    # The least steps of each phase: time is over at once.
    monkeypatch.setattr(Clock, "left", 0.0)
    options = [str(film), "--no-play", "--minutes"]
    assert main(["learn", *options, "3"]) == 0
    home = film.parent / "runs" / "learn" / "walk"
    page = (home / "page.html").read_text("utf-8")
    assert "What was seen and chosen" in page
    assert "an arrow key asks for" in page
    assert "http-equiv" not in page, "what has ended does not refresh"
    assert page.count("<img") == 4
    learned = json.loads((home / "latest" / "learned.json").read_text("utf-8"))
    assert (learned["step"], learned["over"], learned["split"]) == (LEAST_STEPS * len(SHARES), 1, "test")
    assert learned["phase"] == "drawing from its own"
    assert (home / "page.html").as_uri() in capsys.readouterr().out
    assert main(["learn", *options, "3"]) == 0
    assert sorted(each.name for each in home.glob("version_*")) == ["version_0"]
    assert main(["learn", *options, "4"]) == 0
    assert (home / "latest").resolve().name == "version_1"
    checkpoint = torch.load(home / "latest" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == LEAST_STEPS * len(SHARES)


def test_a_stopped_training_has_a_page_at_rest_and_goes_on_where_it_was(film: Path, monkeypatch: pytest.MonkeyPatch):
    class Stopping(LearningPage):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            if trainer.global_step == 6:
                self.show(trainer, args[0], "val")
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Clock, "left", 0.0)
    monkeypatch.setattr(LearningPage, "on_train_batch_end", Stopping.on_train_batch_end)
    home = film.parent / "runs" / "learn" / "walk"
    assert main(["learn", str(film), *OPTIONS]) == 128 + signal.SIGINT
    page = (home / "page.html").read_text("utf-8")
    assert learn.STOPPED in page
    assert "Step 6, 7% of the time, masks by fours" in page
    assert "http-equiv" not in page
    assert main(["learn", str(film), *OPTIONS]) == 0
    assert sorted(each.name for each in home.glob("version_*")) == ["version_0"]
    learned = json.loads((home / "latest" / "learned.json").read_text("utf-8"))
    assert (learned["step"], learned["over"]) == (LEAST_STEPS * len(SHARES), 1)
    assert learn.STOPPED not in (home / "page.html").read_text("utf-8")
