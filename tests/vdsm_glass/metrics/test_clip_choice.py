"""Balanced choices of clips, and who swaps with whom."""

from __future__ import annotations

import numpy as np
import pytest

from vdsm_glass.metrics.clip_choice import balanced, partners


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


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("n", [2, 3, 50])
def test_every_clip_is_the_partner_of_one_and_never_its_own(n: int, seed: int | None):
    found = partners(n, seed=seed)
    assert np.array_equal(np.sort(found), np.arange(n))
    assert (found != np.arange(n)).all()
    assert np.array_equal(found, partners(n, seed=seed))


def test_partners_are_the_clips_before_in_their_order_or_in_one_of_the_seeds():
    assert np.array_equal(partners(9), np.roll(np.arange(9), 1))
    assert not np.array_equal(partners(50, seed=0), partners(50, seed=1))
    assert not np.array_equal(partners(50, seed=0), partners(50))
