"""Δ-MSE and Δ-Acc where movements say all, nothing and something about actions."""

from __future__ import annotations

import pytest
import torch

from vdsm_glass.metrics.controllability import DeltaAccuracy, DeltaMSE

DIRECTIONS = torch.tensor([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]])


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
