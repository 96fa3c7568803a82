"""`vdsm-glass learn`: from a film to a model, stopped and gone on with, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data_modules.drawings.tiny_video import write_film
from tests.vdsm_glass.learn.drawn import draw
from vdsm_glass.cli import main
from vdsm_glass.commands import learn
from vdsm_glass.learn import plan

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
    monkeypatch.setattr(learn, "TRIAL_STEPS", (2, 2, 2, 2, 2))
    monkeypatch.setattr(learn, "seconds_of_steps", measured := Measured())
    monkeypatch.setattr(plan, "steps_in", lambda seconds, minutes: [2, 2, 2, 2, 2])
    assert main(["learn", str(film), *OPTIONS]) == 0
    home = film.parent / "runs" / "learn" / "walk"
    page = (home / "page.html").read_text("utf-8")
    assert "What was seen and chosen" in page
    assert "an arrow key asks for" in page
    assert "http-equiv" not in page, "what has ended does not refresh"
    assert page.count("<img") == 4
    learned = json.loads((home / "latest" / "learned.json").read_text("utf-8"))
    assert (learned["step"], learned["split"]) == (10, "test")
    assert (home / "page.html").as_uri() in capsys.readouterr().out
    assert main(["learn", str(film), *OPTIONS]) == 0
    assert measured.times == 1
    assert len(measured.seconds) == 5
    assert min(measured.seconds) > 0
    assert sorted(each.name for each in home.glob("version_*")) == ["version_0"]
    assert main(["learn", str(film), "--no-play", "--minutes", "4"]) == 0
    assert measured.times == 2
    assert (home / "latest").resolve().name == "version_1"
    checkpoint = torch.load(home / "latest" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 10


class Measured:
    """The trial training, taken once; counts how often it was asked for."""

    def __init__(self) -> None:
        self.times, self.measure = 0, learn.seconds_of_steps

    def __call__(self, *arguments: Any) -> list[float]:
        self.times += 1
        if self.times == 1:
            self.seconds = self.measure(*arguments)
        return self.seconds


@pytest.mark.parametrize(("step", "said"), [(95, False), (89, True)])
def test_a_training_that_ran_out_of_time_is_told_how_to_go_on(step: int, said: bool, tmp_path: Path):
    assert learn.out_of_time(tmp_path) == ""
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "learned.json").write_text(json.dumps({"step": step, "of": 100}))
    told = learn.out_of_time(tmp_path)
    assert bool(told) == said
    if said:
        assert "step 89 of 100" in told
        assert f"fit --config {tmp_path / 'recipe.yaml'} --ckpt_path last --trainer.max_time null" in told
