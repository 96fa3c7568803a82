"""MSE, PSNR and SSIM: definitions, curves, and what cannot be compared."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.metrics.similarity import MSE, PSNR, SSIM, PairMetric


def pair(*, errors: list[float], clips: int = 2, side: int = 16) -> tuple[Tensor, Tensor]:
    """A grey reference, and video that is off by errors[i] at position i."""
    reference = torch.full((clips, len(errors), 3, side, side), 0.5)
    return reference + torch.tensor(errors)[:, None, None, None], reference


def test_mse_and_psnr_are_of_each_frame_before_they_are_means():
    generated, reference = pair(errors=[0.1, 0.2])
    mse, psnr = MSE(), PSNR()
    for metric in (mse, psnr):
        metric.update(generated, reference)
    assert mse.compute()["per_position"].tolist() == pytest.approx([0.01, 0.04])
    assert psnr.compute()["per_position"].tolist() == pytest.approx([20, -20 * math.log10(0.2)])
    assert float(psnr.compute()["mean"]) == pytest.approx((20 - 20 * math.log10(0.2)) / 2)


def test_ssim_of_flat_frames_is_its_luminance_term():
    """(2 a b + C1) / (a² + b² + C1): the published check of zeros against ones is 9.999e-5."""
    black, white = torch.zeros(1, 2, 3, 64, 64), torch.ones(1, 2, 3, 64, 64)
    metric = SSIM()
    metric.update(black, white)
    assert float(metric.compute()["mean"]) == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-3)


def test_ssim_is_lower_where_structure_is_gone():
    torch.manual_seed(0)
    reference = torch.rand(1, 3, 3, 32, 32)
    generated = torch.stack([reference[0, 0], 0.5 * reference[0, 1] + 0.25, torch.rand(3, 32, 32)])[None]
    metric = SSIM()
    metric.update(generated, reference)
    same, faint, other = metric.compute()["per_position"].tolist()
    assert same == pytest.approx(1)
    assert abs(other) < 0.2 < faint < 0.95


def test_a_frame_that_is_its_reference_has_infinite_psnr():
    generated, reference = pair(errors=[0.0, 0.1])
    metric = PSNR()
    metric.update(generated, reference)
    assert metric.compute()["per_position"].tolist() == pytest.approx([math.inf, 20])


@pytest.mark.parametrize("kind", [MSE, PSNR, SSIM])
def test_batches_do_not_matter(kind: type[PairMetric]):
    torch.manual_seed(0)
    generated, reference = torch.rand(5, 3, 3, 16, 16), torch.rand(5, 3, 3, 16, 16)
    whole, bits = kind(), kind(chunk=4)
    whole.update(generated, reference)
    for rows in torch.arange(5).split(2):
        bits.update(generated[rows], reference[rows])
    for name, value in whole.compute().items():
        torch.testing.assert_close(bits.compute()[name], value)


def test_what_cannot_be_compared_is_said():
    generated, reference = pair(errors=[0.1, 0.2])
    with pytest.raises(UserError, match=r"MSE compares frame by frame.*as many frames"):
        MSE().update(generated[:, :1], reference)
    metric = MSE()
    metric.update(generated, reference)
    with pytest.raises(UserError, match="of 2 frames, and now of 1"):
        metric.update(generated[:, :1], reference[:, :1])
    with pytest.raises(UserError, match="SSIM needs frames of at least 11 x 11"):
        SSIM().update(*pair(errors=[0.1], side=10))
