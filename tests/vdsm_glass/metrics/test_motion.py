import math

import pytest
import torch

from vdsm_glass.metrics.motion import AngleAccuracy, DeltaAccuracy, DeltaMSE, ShiftError, in_walk_units, right_direction

DIRECTIONS = torch.tensor([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]])


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


def test_delta_mse_is_the_variance_within_actions_over_all_variance():
    torch.manual_seed(0)
    action = torch.randint(3, (200,))
    movement = DIRECTIONS[action] + torch.randn(200, 2)
    metric = DeltaMSE(actions=4)  # one of which nobody takes
    for rows in torch.arange(200).split(64):
        metric.update(movement[rows], action[rows])
    within = sum(((movement[action == k] - movement[action == k].mean(dim=0)) ** 2).sum() for k in range(3))
    at_all = ((movement - movement.mean(dim=0)) ** 2).sum()
    assert float(metric.compute()) == pytest.approx(100 * float(within / at_all), rel=1e-5)
    assert 3 < float(metric.compute()) < 15


def test_actions_that_say_all_leave_no_variance_and_those_that_say_nothing_leave_all():
    action = torch.arange(30) % 3
    known, unknown = DeltaMSE(actions=3), DeltaMSE(actions=3)
    known.update(DIRECTIONS[action], action)
    unknown.update(DIRECTIONS[action], torch.arange(30) // 10 % 3)
    assert float(known.compute()) == pytest.approx(0, abs=1e-9)
    assert float(unknown.compute()) > 95


def test_the_svm_is_scored_on_movements_that_it_has_not_seen():
    """Labels drawn at random can be learned by heart from few pairs in many dimensions, and not found again."""
    generator = torch.Generator().manual_seed(0)
    movement, noise = torch.randn(400, 60, generator=generator), torch.randint(2, (400,), generator=generator)
    chance, sure = DeltaAccuracy(), DeltaAccuracy()
    chance.update(movement, noise)
    sure.update(movement, (movement[:, 0] + movement[:, 1] > 0).long())
    # Of 200 fair coins 0.65 or more come up right with probability 1e-5; the fitted half's score would be above 0.75.
    assert float(chance.compute()) < 0.65
    assert float(sure.compute()) > 0.75


def test_a_straight_cut_finds_directions_and_their_order_does_not_matter():
    torch.manual_seed(0)
    action = torch.randint(3, (90,))
    movement = DIRECTIONS[action] + torch.randn(90, 2)
    metric, shuffled = DeltaAccuracy(seed=1), DeltaAccuracy(seed=1)
    metric.update(movement, action)
    order = torch.randperm(90)
    for rows in order.split(40):
        shuffled.update(movement[rows], action[rows])
    assert float(metric.compute()) > 0.95
    assert metric.compute() == shuffled.compute()


@pytest.mark.parametrize("movement", [0.0, 0.1, -1e3])
def test_movements_that_are_all_the_same_have_no_variance_to_explain(movement: float):
    still = DeltaMSE(actions=2)
    still.update(torch.full((7, 2), movement), torch.arange(7) % 2)
    assert still.compute().isnan()


@pytest.mark.parametrize("pairs", [0, 1, 6])
def test_one_action_alone_cannot_be_told_from_others(pairs: int):
    alone = DeltaAccuracy()
    alone.update(torch.randn(pairs, 2), torch.zeros(pairs, dtype=torch.int64))
    assert alone.compute().isnan()
