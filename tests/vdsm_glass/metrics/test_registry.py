"""Names of numbers, and what happens where weights are absent."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.metrics import features
from vdsm_glass.metrics.kernel_distance import KID
from vdsm_glass.metrics.registry import METRICS

NEEDING = [name for name, metric in METRICS.items() if metric.weights]


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(published_weights.CACHE, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.mark.parametrize("name", NEEDING)
def test_without_weights_one_error_names_the_metric_the_file_and_the_command(name: str):
    key = METRICS[name].weights
    assert key is not None
    with pytest.raises(UserError) as error:
        METRICS[name].make()
    for said in (f"the metric {name} ", published_weights.WEIGHTS[key].name, f"vdsm-glass weights fetch {key}"):
        assert said in str(error.value)
    assert name in published_weights.WEIGHTS[key].used_by.split(", ")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_random_weights_never_report_under_the_metrics_own_name(name: str):
    metric = METRICS[name]
    assert metric.reported() == name
    assert (metric.reported(stand_in=True) == name) == (metric.weights is None)


def test_a_stand_in_says_what_it_is():
    for name in ("lpips_squeeze", "fid", "kid", "fvd"):
        metric = METRICS[name]
        network = metric.make(stand_in=True).network_info["network"]  # type: ignore[index]
        assert metric.reported(stand_in=True) == f"{name}/{network}"
    with pytest.raises(UserError, match="add_mdr has no stand-in"):
        METRICS["add_mdr"].make(stand_in=True)


def test_metrics_without_weights_are_made_as_they_are():
    video = torch.rand(1, 2, 3, 16, 16)
    for name in ("mse", "psnr", "ssim"):
        metric = METRICS[name].make(stand_in=True)
        metric.update(video, (video + 0.1).clamp(0, 1))
        assert metric.compute()["mean"].isfinite()
    assert METRICS["fvd"].fewest_frames == 10


def test_without_dinov2_the_error_says_what_to_put_where(tmp_path: Path):
    with pytest.raises(UserError) as error:
        METRICS["fd_dinov2"].make()
    folder, file = features.dinov2_files()
    for said in ("the metric fd_dinov2", str(folder), str(file), features.DINOV2_ADDRESS, "leave fd_dinov2 out"):
        assert said in str(error.value)
    assert str(tmp_path) in str(file)
    with pytest.raises(UserError, match="takes no file"):
        METRICS["fd_dinov2"].make(tmp_path / "weights.pth")


def test_kid_is_what_torchmetrics_computes_and_small_for_clips_of_one_kind():
    extractor, draw = features.random_frame_features(), torch.Generator().manual_seed(0)
    video, other, third = (torch.rand(10, 3, 3, 16, 16, generator=draw) ** power for power in (1, 2, 1))
    values = []
    for generated in (other, third):
        metric = KID(extractor)
        for side, real in ((video, True), (generated[:4], False), (generated[4:], False)):
            metric.update(side, real=real)
        values.append(float(metric.compute()))
    pair = [extractor(side.flatten(0, 1)).double() for side in (video, other)]
    assert values[0] == pytest.approx(float(poly_mmd(*pair)), rel=1e-6)
    assert abs(values[1]) < 0.3 * values[0]
    with pytest.raises(UserError, match="both sides"), warnings.catch_warnings(action="ignore"):
        KID(extractor).compute()
