import pytest
import torch
from torchmetrics.functional.segmentation import mean_iou

from vdsm_glass.metrics.masks import MaskIoU, soft_iou


def test_by_hand():
    predicted = torch.tensor([[1.0, 1.0, 0.0, 0.5]]).view(1, 1, 1, 4)
    target = torch.tensor([[1.0, 0.0, 0.0, 1.0]]).view(1, 1, 1, 4)
    # Σ m̂ m = 1 + 0.5; Σ 1 - (1 - m̂)(1 - m) = 1 + 1 + 0 + 1.
    assert soft_iou(predicted, target).tolist() == [0.5]


def test_binary_masks_have_the_usual_iou():
    generator = torch.Generator().manual_seed(0)
    predicted, target = (torch.rand(2, 7, 1, 12, 16, generator=generator).round() for _ in range(2))
    oracle = mean_iou(
        predicted.flatten(0, 1).long(), target.flatten(0, 1).long(), num_classes=1, input_format="one-hot"
    )
    torch.testing.assert_close(soft_iou(predicted, target).flatten(), oracle)


def test_two_empty_masks_agree_and_an_empty_one_misses_all():
    empty, full = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert soft_iou(empty, empty).item() == 1
    assert soft_iou(empty, full).item() == 0
    assert soft_iou(full, empty).item() == 0


def test_frames_weigh_alike_whatever_their_masks_and_batches():
    generator = torch.Generator().manual_seed(1)
    predicted = torch.rand(5, 3, 1, 8, 8, generator=generator)
    target = (torch.rand(5, 3, 1, 8, 8, generator=generator) > torch.linspace(0.1, 0.9, 5).view(5, 1, 1, 1, 1)).float()
    metric = MaskIoU()
    for part in (slice(0, 4), slice(4, 5)):  # the last batch is a smaller one
        metric.update(predicted[part], target[part])
    results = metric.compute()
    assert results["soft"].item() == pytest.approx(soft_iou(predicted, target).mean().item())
    cut = (predicted > 0.5).float()
    assert results["thresholded"].item() == pytest.approx(soft_iou(cut, target).mean().item())
    metric.reset()
    metric.update(target, target)
    assert metric.compute()["soft"] == 1
