"""Scores by a judge, against hand-computed values and the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from vdsm_glass.metrics.generation import JudgeScores, balanced


def scored(probabilities: torch.Tensor, wanted: list[int], *, pieces: int = 1) -> dict[str, float]:
    metric = JudgeScores(classes=probabilities.shape[1])
    for p, y in zip(probabilities.chunk(pieces), torch.tensor(wanted).chunk(pieces), strict=True):
        metric.update(p, y)
    return {name: value.item() for name, value in metric.compute().items()}


def test_sure_and_diverse_clips_reach_the_number_of_classes():
    found = scored(torch.eye(5), [0, 1, 2, 3, 4])
    assert found == pytest.approx({"acc": 1.0, "is": 5.0, "h_y": math.log(5), "h_y_given_x": 0.0})


def test_clips_that_all_look_alike_score_one_however_sure_the_judge_is():
    sure, unsure = scored(torch.eye(4)[[2, 2, 2]], [2, 2, 0]), scored(torch.full((3, 4), 0.25), [-1, -1, -1])
    assert sure == pytest.approx({"acc": 2 / 3, "is": 1.0, "h_y": 0.0, "h_y_given_x": 0.0})
    assert unsure["is"] == pytest.approx(1.0)
    assert unsure["h_y"] == unsure["h_y_given_x"] == pytest.approx(math.log(4))
    assert math.isnan(unsure["acc"])


def test_two_clips_by_hand():
    # p(y) = (0.5, 0.5); KL of either = 0.75 ln 1.5 + 0.25 ln 0.5.
    found = scored(torch.tensor([[0.75, 0.25], [0.25, 0.75]]), [0, 0])
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    wanted = {"acc": 0.5, "is": math.exp(divergence), "h_y": math.log(2), "h_y_given_x": math.log(2) - divergence}
    assert found == pytest.approx(wanted)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 9), clips=st.integers(1, 20))
def test_the_score_is_its_definition(seed: int, classes: int, clips: int):
    p = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=clips)
    found = scored(torch.from_numpy(p), [0] * clips)
    divergences = entropy(p, np.broadcast_to(p.mean(axis=0), p.shape), axis=1)
    assert found["is"] == pytest.approx(np.exp(np.mean(divergences)))
    assert found["is"] == pytest.approx(math.exp(found["h_y"] - found["h_y_given_x"]))
    assert 1 - 1e-9 <= found["is"] <= classes + 1e-9


def test_pieces_equal_the_whole_and_a_reset_forgets():
    p = torch.rand(7, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    wanted = [0, 1, 2, -1, 1, 0, 2]
    whole = scored(p, wanted)
    assert scored(p, wanted, pieces=3) == pytest.approx(whole)
    metric = JudgeScores(classes=3)
    metric.update(1 - p, torch.zeros(7, dtype=torch.int64))
    metric.reset()
    metric.update(p, torch.tensor(wanted))
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(whole)


def test_every_label_comes_equally_often_and_only_known_ones():
    labels = np.array([0] * 10 + [4] * 3 + [-1] * 20 + [2] * 5)
    chosen = balanced(labels, seed=1)
    assert dict(zip(*np.unique(labels[chosen], return_counts=True), strict=True)) == {0: 3, 2: 3, 4: 3}
    assert len(np.unique(chosen)) == len(chosen)
    assert (np.diff(chosen) > 0).all()


def test_the_choice_is_its_seeds_and_no_larger_than_asked_for():
    labels = np.arange(1000) % 4
    assert np.array_equal(balanced(labels, most=30, seed=1), balanced(labels, most=30, seed=1))
    assert not np.array_equal(balanced(labels, most=30, seed=1), balanced(labels, most=30, seed=2))
    assert len(balanced(labels, most=30, seed=1)) == 28
    assert len(balanced(labels, most=1, seed=1)) == 4
    assert not len(balanced(np.full(5, -1), seed=1))
