"""LPIPS against an ONNX file that others made of the same weights, and how its files are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import normalize

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.layers import vgg
from vdsm_glass.metrics.features import Extractor, random_frame_features, random_video_features
from vdsm_glass.metrics.similarity import LPIPS, lpips_network, random_lpips_network

STAND_INS = (partial(random_lpips_network, "squeeze"), random_frame_features, random_video_features)


def opened(path: Path, *, size: tuple[int, int]) -> Tensor:
    """A picture in colour, as (3, h, w) in [0, 1]."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGBA").convert("RGB").resize(size))
    return rearrange(torch.from_numpy(pixels.copy()).float() / 255, "h w c -> c h w")


@pytest.fixture(scope="module")
def squeeze(real_data: Path) -> Path:
    return real_data / "lpips_squeeze" / "squeezenet1_1_features_state_dict.pth"


def test_real_squeeze_weights_agree_with_the_onnx_file(real_data: Path, squeeze: Path):
    """On a landscape, an LPC sheet, and the landscape under noise; the file takes frames normalised as ImageNet's."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(real_data / "lpips_squeeze" / "lpips_sq.onnx")
    landscape = opened(real_data / "background" / "landscape1_256.png", size=(128, 96))
    sheet = opened(real_data / "lpc_sheets" / "body" / "0.png", size=(128, 96))
    torch.manual_seed(0)
    noisy = (landscape + 0.1 * torch.randn(landscape.shape)).clamp(0, 1)
    metric = LPIPS(lpips_network("squeeze", squeeze), chunk=2)
    generated, reference = torch.stack([landscape, sheet, noisy])[None], landscape.expand(1, 3, -1, -1, -1)
    metric.update(generated, reference)
    for position, found in enumerate(metric.compute()["per_position"].tolist()):
        drawn, true = (normalize(video[:, position], mean=vgg.MEAN, std=vgg.STD) for video in (generated, reference))
        (wanted,) = session.run(None, {"dist": drawn.numpy(), "ref": true.numpy()})
        assert found == pytest.approx(wanted.item(), abs=1e-5)
    assert metric.compute()["per_position"][0] < 1e-12
    assert metric.compute()["mean"] == metric.compute()["per_position"].mean()
    assert metric.network_info == {"network": "lpips-0.1-squeeze", "checksum": published_weights.sha256(squeeze)}


def test_a_whole_classifier_is_read_as_its_features_alone_are(squeeze: Path, tmp_path: Path):
    state = torch.load(squeeze, weights_only=True, map_location="cpu")
    whole = {f"features.{name.removeprefix('features.')}": value for name, value in state.items()}
    torch.save(whole | {"classifier.1.bias": torch.zeros(1000)}, tmp_path / "whole.pth")
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 3, 48, 64)
    pair = [lpips_network("squeeze", path)(x, y) for path in (squeeze, tmp_path / "whole.pth")]
    torch.testing.assert_close(*pair, rtol=0, atol=0)
    assert pair[0] > 0.01


def test_files_that_are_something_else_are_named(squeeze: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"squeezenet1_1_features_state_dict\.pth is not alexnet"):
        lpips_network("alex", squeeze)
    (tmp_path / "text.pth").write_text("log in first")
    with pytest.raises(UserError, match=r"text\.pth holds no weights of squeezenet1_1"):
        lpips_network("squeeze", tmp_path / "text.pth")


def test_the_stand_in_is_the_same_every_time_and_sees_differences():
    before = torch.random.get_rng_state()
    network, again = random_lpips_network("squeeze"), random_lpips_network("squeeze")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert network.checksum == again.checksum
    assert network.name == "random_weights"
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(network(x, x), torch.zeros(2))
    assert (network(x, 1 - x) > 0).all()


@pytest.mark.parametrize("made", STAND_INS, ids=["lpips", "frames", "clips"])
def test_stand_ins_are_the_same_while_another_thread_draws_random_numbers(made: Callable[[], Extractor]):
    """As in a Dask worker of several threads, which share PyTorch's global generator."""
    alone, over = made().checksum, Event()
    started = Event()

    def draw() -> None:
        while not over.is_set():
            torch.rand(100)
            started.set()

    other = Thread(target=draw)
    other.start()
    try:
        started.wait()
        assert {made().checksum for _ in range(10)} == {alone}
    finally:
        over.set()
        other.join()
