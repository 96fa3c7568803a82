"""What `benchmarks.processes` measures at length, in few steps."""

from pathlib import Path

import pytest

from benchmarks.processes import GOAL, greatest_difference, losses_of


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "more"), [("vdsm_frames", []), ("glass", ["--model.gma_steps", "2", "--model.gma_until", "4"])]
)
def test_two_processes_have_the_losses_of_one(tmp_path: Path, model: str, more: list[str]):
    one, two = (losses_of(model, *more, processes=n, steps=6, folder=tmp_path) for n in (1, 2))
    assert greatest_difference(two, one)[0] < GOAL
    assert len(set(one)) == 6
