"""When pictures are drawn, and GLASS's pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.drawing import Drawing
from callbacks.glass_pictures import GLASSPictures, layers_panel
from data_modules import WSprites
from data_modules.batch import VideoBatch
from tests.vdsm_glass.glass.small import small_glass
from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.glass.net import GLASS
from vdsm_glass.pictures import GAP, to_uint8


class Recorder(Drawing):
    """Draws nothing, and remembers from which split and in which epoch it was asked to."""

    def __init__(self, every_n_epochs: int) -> None:
        super().__init__(every_n_epochs=every_n_epochs, fps=8.0)
        self.drawn: list[tuple[str, int]] = []

    def draw(self, net: Any, dataset: Any, folder: Path) -> list[Path]:
        assert not torch.is_grad_enabled()
        assert folder.name == "pictures"
        self.drawn.append(dataset)
        return []


def trainer(epoch: int, **state: Any) -> Any:
    data = SimpleNamespace(evaluation_dataset=lambda split: (split, epoch))
    defaults = {"current_epoch": epoch, "sanity_checking": False, "is_global_zero": True, "loggers": []}
    return SimpleNamespace(datamodule=data, default_root_dir="run", **(defaults | state))


@pytest.mark.parametrize(("every", "epochs"), [(0, []), (1, [0, 1, 2, 3, 4, 5]), (2, [1, 3, 5]), (4, [3])])
def test_drawn_so_many_epochs_apart_at_most(every: int, epochs: list[int]):
    recorder, module = Recorder(every), SimpleNamespace(net=None)
    for epoch in range(6):
        recorder.on_validation_epoch_end(trainer(epoch), module)  # pyright: ignore[reportArgumentType]
    assert recorder.drawn == [("val", epoch) for epoch in epochs]


def test_drawn_at_the_end_by_the_first_process_and_not_when_checking():
    recorder, module = Recorder(1), SimpleNamespace(net=None, eval=lambda: None)
    recorder.on_validation_epoch_end(trainer(0, sanity_checking=True), module)  # pyright: ignore[reportArgumentType]
    recorder.on_train_end(trainer(3, is_global_zero=False), module)  # pyright: ignore[reportArgumentType]
    assert not recorder.drawn
    recorder.on_train_end(trainer(3), module)  # pyright: ignore[reportArgumentType]
    recorder.on_test_end(trainer(0), module)  # pyright: ignore[reportArgumentType]
    assert recorder.drawn == [("val", 3), ("test", 0)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> WSprites:
    module = WSprites(root=str(tmp_path_factory.mktemp("data")), tiny=True, size=(48, 64), clip_length=4, batch_size=3)
    module.prepare_data()
    return module


@pytest.fixture(scope="module")
def net() -> GLASS:
    return small_glass(theta=0.06)


@torch.no_grad()
def test_panel_shows_the_layers_of_first_and_last_frames(data: WSprites, net: GLASS):
    batch: VideoBatch = data.evaluation_dataset("val")[[0, 1]].decoded()
    assert batch.mask is not None
    panel = layers_panel(net, batch)
    _, _, _, h, w = batch.video.shape
    cells = panel.unfold(1, h + 2 * GAP, h + 2 * GAP).unfold(2, w + 2 * GAP, w + 2 * GAP)[..., GAP:-GAP, GAP:-GAP]
    assert cells.shape == (3, 5, 4, h, w)
    torch.testing.assert_close(cells[:, 0, 3], batch.video[1, -1])
    torch.testing.assert_close(cells[:, 1, 1], batch.mask[0, -1].expand(3, h, w))
    layers = net.gma.separate(2 * batch.video - 1)
    for row, shown in ((2, layers.m.expand_as(layers.f)), (3, (layers.f + 1) / 2), (4, (layers.b_hat + 1) / 2)):
        torch.testing.assert_close(cells[:, row, 2], shown[1, 0])
    without = layers_panel(net, replace(batch, mask=None))
    assert without.shape == (3, 4 * (h + 2 * GAP), panel.shape[2])


def test_everything_is_drawn(data: WSprites, net: GLASS, tmp_path: Path):
    with torch.no_grad():
        written = GLASSPictures(clips=2, shift=3.0).draw(GLASSModel(net), data.evaluation_dataset("val"), tmp_path)
    moving = {"reconstruction", "transfer", "local_actions", "global_actions"}
    still = moving | {"layers", "shifted_foregrounds"}
    assert {file.name for file in written} == {f"{name}.png" for name in still} | {f"{name}.gif" for name in moving}
    frames = {"reconstruction": 4, "transfer": 4, "local_actions": 9, "global_actions": 9}
    for name, count in frames.items():
        with Image.open(tmp_path / f"{name}.gif") as gif:
            assert gif.n_frames == count
    # The cell at the top left of a matrix is the first clip's first frame, enlarged to twice its size.
    batch = data.evaluation_dataset("val")[[0]].decoded()
    shown = np.asarray(Image.open(tmp_path / "local_actions.png"))[GAP : GAP + 96 : 2, GAP : GAP + 128 : 2]
    np.testing.assert_array_equal(shown, to_uint8(batch.video[0, 0]))
