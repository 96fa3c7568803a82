"""Numbers of what was learned, against hand-made answers, and each alarm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.vdsm_glass.glass.small import small_glass
from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.glass.difference import Ground
from vdsm_glass.learn.examine import MEANINGS, actions_differ, alarms, arrows, examine, motion_inside, spread

FINE = {
    "mask_mean": 0.05,
    "mask_max": 0.9,
    "shift_spread": 2.0,
    "difference_spread": 2.0,
    "actions_differ": 9.0,
}


class Bright(nn.Module):
    """A mask that is where a frame is bright."""

    def forward(self, frames: Tensor) -> Tensor:
        return (frames.mean(dim=1, keepdim=True) > 0).float()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"mask_mean": 0.004}, "empty mask"),
        ({"mask_max": 0.1}, "empty mask"),
        ({"mask_mean": 0.5}, "full mask"),
        ({"shift_spread": 0.1}, "shifts alike"),
        ({"actions_differ": 0.1}, "codes say nothing"),
        ({"perplexity": 1.0}, "one code"),
    ],
)
def test_each_alarm(changed: dict[str, float], expected: str | None):
    numbers = FINE | changed
    found = alarms(numbers, theta=0.05, masks=True, codes=True, drawing=True, perplexity=numbers.pop("perplexity", 4.0))
    assert list(found) == ([expected] if expected else [])


def test_what_was_not_trained_yet_is_no_alarm():
    numbers = FINE | {"actions_differ": 0.0}
    assert not alarms(numbers, theta=0.05, masks=True, codes=False, drawing=False, perplexity=1.0)
    for early in ({"mask_mean": 0.0}, {"mask_mean": 0.9}, {"shift_spread": 0.0}):
        assert not alarms(FINE | early, theta=0.05, masks=False, codes=False, drawing=False)
    assert not alarms(
        FINE | {"shift_spread": 0.0, "difference_spread": 0.1}, theta=0.05, masks=True, codes=True, drawing=True
    )


def test_motion_inside_is_a_share_of_energy():
    video, m = torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 2, 1, 4, 4)
    video[:, 1, :, 0, 0], video[:, 1, :, 3, 3] = 0.2, 0.1
    m[:, 0, :, 0, 0] = 1.0
    assert motion_inside(video, m) == pytest.approx(0.8)
    assert motion_inside(torch.zeros_like(video), m) == 0


def test_arrow_keys_are_measured_in_the_picture():
    video = torch.zeros(1, 4, 2, 3, 16, 16)
    for key, (x, y) in enumerate([(4, 0), (-4, 0), (0, 4), (0, 0)]):
        video[0, key, 0, :, 6:8, 6:8] = 1.0
        video[0, key, 1, :, 6 + y : 8 + y, 6 + x : 8 + x] = 1.0
    assert arrows(Bright(), video, 4.0) == {"arrow_asked": 4.0, "arrow_moved": 3.0, "arrow_right": 0.75}


def test_actions_differ_counts_the_agent_alone():
    video, mask = torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 2, 1, 4, 4)
    mask[0, 0, 0, 0, 0] = 1.0
    video[0, 0, :, 0, 0], video[0, 1, :, 3, 3] = 10 / 255, 1.0
    assert actions_differ(video, mask) == pytest.approx(10)
    assert actions_differ(video[:, :1].repeat(1, 2, 1, 1, 1), mask) == 0


def test_spread_is_that_of_a_distribution():
    assert spread(torch.tensor([[0.0, 0.0], [2.0, 0.0]])) == pytest.approx(1.0)
    assert spread(torch.zeros(0, 2)) == 0


def test_a_network_is_examined_whole():
    model = GLASSModel(small_glass(theta=0.1))
    video = torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    found = examine(model, video, Ground(np.zeros((1, 32, 48, 3), np.uint8), threshold=20, theta=0.1))
    assert found.numbers.keys() == MEANINGS.keys()
    assert all(np.isfinite(list(found.numbers.values())))
    assert len(found.pictures) == 3
    assert "difference_spread" not in examine(model, video).numbers
