"""Names of numbers, and what happens where weights are absent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
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
    assert published_weights.WEIGHTS[key].used_by == name


@pytest.mark.parametrize("name", sorted(METRICS))
def test_random_weights_never_report_under_the_metrics_own_name(name: str):
    metric = METRICS[name]
    assert metric.reported() == name
    assert (metric.reported(stand_in=True) == name) == (metric.weights is None)


def test_a_stand_in_says_what_it_is():
    for name in ("lpips_squeeze", "fid", "fvd"):
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
