import math

import pytest
import torch

from vdsm_glass.metrics.motion import AngleAccuracy, ShiftError, in_walk_units, right_direction


def turned(shift: torch.Tensor, degrees: float) -> torch.Tensor:
    """The shift (2,), turned."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s], [s, c]]) @ shift


def test_errors_by_hand():
    metric = ShiftError()
    metric.update(torch.tensor([[[3.0, 4.0], [7.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [7.0, 0.0]]]))
    metric.update(torch.tensor([[[0.0, -1.0]]]), torch.tensor([[[0.0, 0.0]]]))
    assert {name: value.item() for name, value in metric.compute().items()} == {"mean": 2.0, "min": 0.0, "max": 5.0}


@pytest.mark.parametrize(
    ("degrees", "right"), [(0, True), (44, True), (-44, True), (46, False), (-90, False), (180, False)]
)
def test_direction_is_right_within_45_degrees_whatever_the_length(degrees, right):
    true = torch.tensor([0.3, -0.4])
    assert right_direction(5 * turned(true, degrees), true).item() is right


def test_only_what_moves_has_a_direction():
    metric = AngleAccuracy()
    still, right = torch.zeros(2), torch.tensor([7.0, 0.0])
    metric.update(torch.stack([right, right, -right, still]), torch.stack([still, right, right, right]))
    assert metric.compute().item() == pytest.approx(1 / 3)
    metric.reset()
    metric.update(right.view(1, 2), still.view(1, 2))
    assert metric.compute().isnan()


def test_walk_units_give_a_perfect_predictor_what_the_published_arithmetic_gives_it():
    """The numbers of the authors' scene: characters walk 7 px in 64 by 32, landscapes 1 px of the frame in 12.5."""

    def largest(step: float, walk: tuple[float, float]) -> float:
        true = step * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.0, 0.0]])
        metric = ShiftError()
        metric.update(true, in_walk_units(true, walk))
        return metric.compute()["max"].item()

    assert largest(7, (64, 32)) == pytest.approx(6.78, abs=0.005)
    assert largest(1, (12.5, 12.5)) == pytest.approx(0.84)
    assert largest(2, (50, 50)) == pytest.approx(1.92)
