"""A plan fits what was seen, and its recipe ends in time and is one that `fit` takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_modules.common.errors import UserError
from vdsm_glass.learn.look import Seen
from vdsm_glass.learn.plan import FOR_TRAINING, PHASES, at, plan, recipe, steps_in, widened
from vdsm_glass.sweeps.check import CommandLines

SEEN = Seen(
    size=(480, 640), videos=1, frames=10_000, shortest=10_000, camera=0.0, moving=1.0, agents=1, area=0.005,
    length=60.0, pace=1.0, region=(100, 50, 300, 200), threshold=14.0, one_ground=True,
)  # fmt: skip


@pytest.mark.parametrize("region", [(0, 0, 640, 480), (100, 50, 300, 200), (600, 440, 40, 40), (0, 200, 640, 30)])
def test_frames_are_multiples_of_16_of_a_region_inside(region: tuple[int, int, int, int]):
    chosen = plan(replace(SEEN, region=region), minutes=30)
    assert all(side % 16 == 0 and side >= 48 for side in chosen.size)
    left, top, width, height = chosen.region
    assert min(left, top) >= 0
    assert left + width <= 640
    assert top + height <= 480
    assert width / height == pytest.approx(chosen.size[1] / chosen.size[0], rel=0.3)


def test_frames_are_small_where_time_is_short_but_not_smaller_than_the_agent_needs():
    def pixels(**options: float) -> int:
        height, width = plan(replace(SEEN, length=options["length"]), minutes=options["minutes"]).size
        return height * width

    assert pixels(length=60, minutes=30) > 1.7 * pixels(length=60, minutes=10)
    assert pixels(length=10, minutes=10) == pixels(length=60, minutes=30)


def test_theta_is_a_share_of_the_region():
    chosen = plan(SEEN, minutes=30)
    assert chosen.region == (100, 50, 300, 200)
    assert chosen.theta == pytest.approx(0.005 * 640 * 480 / (300 * 200))
    assert widened((10, 10, 600, 460), (480, 640)) == (0, 0, 640, 480)


def test_slow_agents_are_seen_further_apart():
    assert plan(SEEN, minutes=30).stride > plan(replace(SEEN, pace=10.0), minutes=30).stride == 1


def test_short_clips_are_enough_and_shorter_ones_are_refused():
    short = plan(
        replace(SEEN, size=(64, 64), region=(0, 0, 64, 64), videos=16, frames=480, shortest=30, pace=0.5), minutes=30
    )
    assert (short.eval_clip_length - 1) * short.stride + 1 <= 30
    assert short.split_by == "auto"
    assert (plan(replace(SEEN, shortest=30), minutes=30).clip_length - 1) * 5 <= 30
    with pytest.raises(UserError, match="the shortest video has 20 frames; expected at least 30"):
        plan(replace(SEEN, shortest=20), minutes=30)


@pytest.mark.parametrize("minutes", [5.0, 30.0])
def test_steps_end_in_time(minutes: float):
    seconds = [0.2, 0.6, 0.3, 0.5, 0.7]
    steps = steps_in(seconds, minutes=minutes)
    took = sum(n * s for n, s in zip(steps, seconds, strict=True)) / 60
    assert took == pytest.approx(FOR_TRAINING * minutes, rel=0.02)
    few, many = steps_in([2.0] * 5, minutes=10), steps_in([0.2] * 5, minutes=10)
    assert few[0] / sum(few) > 1.5 * many[0] / sum(many), "without masks nothing else is learned"
    assert max(steps_in(seconds, minutes=1e4)) < 2100, "a longer time is not always better spent"


@pytest.mark.parametrize("steps", [(3, 3, 4, 4, 4), (100, 150, 200, 250, 200), (400, 700, 900, 1200, 900)])
def test_the_recipe_is_the_base_one_in_other_steps(steps: tuple[int, ...], tmp_path: Path):
    content = recipe(plan(SEEN, minutes=30), tmp_path, tmp_path, steps=steps)
    model, ends = content["model"]["init_args"], [sum(steps[:n]) for n in range(6)]
    assert model["gma_until"] == model["gma_steps"] == ends[2]
    assert (model["drawing_from"], model["lma_learning_rate_decay"]) == (ends[3], [ends[4], ends[5]])
    schedules = content["trainer"]["callbacks"][1]["init_args"]
    assert [step for step, _ in schedules["T_f"]["knots"]] == [ends[4] - 1, ends[4]]
    assert schedules["difference"]["knots"][0] == [ends[1], 1.0]
    assert ends[1] < schedules["difference"]["knots"][1][0] < max(ends[2], ends[1] + 2)
    for schedule in schedules.values():
        assert all(after[0] > before[0] for before, after in pairwise(schedule["knots"]))


def test_steps_keep_their_places_within_phases():
    assert [at(step, PHASES) for step in (0, 300, 799, 800, 2199, 5200)] == [0, 300, 799, 800, 2199, 5200]
    assert at(400, [0, 80, 220, 310, 430, 520]) == 40


def test_fit_takes_the_recipe(tmp_path: Path):
    content: dict[str, Any] = recipe(plan(SEEN, minutes=30), tmp_path, tmp_path, steps=(10, 10, 10, 10, 10))
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    config = CommandLines("fit", ["--config", str(file)]).config["fit"]
    assert config.data.class_path.endswith("VideoFolder")
    assert tuple(config.data.init_args.region) == (100, 50, 300, 200)
    assert config.model.init_args.lma.actions == 6
