"""The page and the ground that `learn` trains with."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from callbacks.clock import Clock
from callbacks.learning import LearningPage
from callbacks.median_ground import MedianGround, grounds
from data_modules.drawings.tiny_video import write_pictures
from data_modules.folder import VideoFolder
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.learn.examine import Examined


@pytest.fixture
def data(tmp_path: Path) -> VideoFolder:
    for number in range(4):
        video = np.full((9, 16, 16, 3), 50 * number, np.uint8)
        video[:4, :8] = 255
        write_pictures(tmp_path / "videos" / str(number), video)
    module = VideoFolder(root=str(tmp_path), size=16, clip_length=2)
    module.prepare_data()
    return module


def test_grounds_are_medians_of_the_training_clips(data: VideoFolder):
    clips = data.store.split("train")
    each = grounds(clips, one=False)
    assert each.shape == (2, 16, 16, 3)
    for clip, ground in enumerate(each):
        rested = clips.window("video", clip)[-1]
        np.testing.assert_array_equal(ground.transpose(2, 0, 1), rested)
    video = clips.array("video")
    np.testing.assert_array_equal(
        grounds(clips, one=True)[0].transpose(2, 0, 1), np.median(video, axis=0).astype(np.uint8)
    )


def test_the_module_is_given_its_ground(data: VideoFolder):
    module = GLASSModule(perceptual="none", theta=0.2)
    trainer: Any = SimpleNamespace(datamodule=data)
    MedianGround(threshold=17, one_ground=False).on_fit_start(trainer, module)
    assert module.ground is not None
    assert (len(module.ground.pictures), module.ground.threshold, module.ground.theta) == (2, 17, 0.2)


def test_an_alarm_is_said_once_and_stands_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    numbers = {"mask_mean": 0.0, "mask_max": 0.01, "shift_spread": 0.0, "actions_differ": 0.0}
    found = Examined(numbers, {"A title": torch.zeros(3, 8, 8)})
    monkeypatch.setattr(LearningPage, "examined", lambda *_: found)
    callback, module = LearningPage(str(tmp_path / "home")), GLASSModule(perceptual="none", gma_steps=1000)
    module.drawing_from = 2000
    clock = Clock(1, [0, 1000, 2000, 10_000], [0.1, 0.1, 0.8])
    clock.over = 0.06
    trainer: Any = SimpleNamespace(
        callback_metrics={"codebook/perplexity": torch.tensor(1.0)},
        global_step=600,
        callbacks=[clock],
        default_root_dir=str(tmp_path),
        is_global_zero=True,
    )
    with caplog.at_level(logging.WARNING):
        callback.show(trainer, module, "val")
        callback.show(trainer, module, "val")
    assert len(caplog.records) == 1
    assert 0 < clock.kept < 60, "time for the pictures at the end"
    assert "step 600: the mask is empty" in caplog.text
    page = (tmp_path / "home" / "page.html").read_text("utf-8")
    assert "The mask is empty" in page
    assert "http-equiv" in page
    learned = json.loads((tmp_path / "learned.json").read_text("utf-8"))
    assert list(learned["alarms"]) == ["empty mask"]
    clock.over = 1.0
    other = LearningPage(str(tmp_path / "home"))
    other.load_state_dict(callback.state_dict())
    with caplog.at_level(logging.WARNING):
        other.on_train_end(trainer, module)
    assert len(caplog.records) == 3
    assert "same local action" in caplog.text
    assert "local actions do not change the drawing" in caplog.text
    assert "http-equiv" not in (tmp_path / "home" / "page.html").read_text("utf-8")


def test_pages_are_written_every_so_often(monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    monkeypatch.setattr(LearningPage, "show", lambda self, trainer, module, split: shown.append(split))
    for seconds, expected in ((1e9, []), (0.0, ["val"])):
        callback, trainer = LearningPage("home", seconds=seconds), SimpleNamespace(is_global_zero=True)
        callback.on_train_start(trainer, None)  # pyright: ignore[reportArgumentType]
        callback.on_train_batch_end(trainer, None, None, None, 0)  # pyright: ignore[reportArgumentType]
        assert shown == expected
