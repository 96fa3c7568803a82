"""A plan fits what was seen, and its recipe ends in time and is one that `fit` takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_modules.common.errors import UserError
from vdsm_glass import recipes
from vdsm_glass.learn.look import Seen
from vdsm_glass.learn.plan import BASE, KINDS, PHASES, SHARES, plan, recipe, widened
from vdsm_glass.sweeps.check import CommandLines

SEEN = Seen(
    size=(480, 640), videos=1, frames=10_000, shortest=10_000, camera=0.0, moving=1.0, agents=1, area=0.005,
    length=60.0, pace=1.0, region=(100, 50, 300, 200), span=(0, 10_000), threshold=14.0, one_ground=True,
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


def test_frames_without_the_agent_before_and_after_are_left_out():
    chosen = plan(replace(SEEN, span=(500, 2000)), minutes=30)
    assert chosen.between == (500, 2000)
    assert plan(replace(SEEN, span=(200, 9900)), minutes=30).between is None
    assert plan(replace(SEEN, span=(500, 2000), videos=3), minutes=30).between is None
    with pytest.raises(UserError, match="the shortest video has 20 frames"):
        plan(replace(SEEN, span=(500, 520)), minutes=30)


def test_the_recipe_is_the_base_one_led_by_a_clock(tmp_path: Path):
    content = recipe(plan(SEEN, minutes=30), tmp_path, tmp_path, minutes=20)
    model, base = content["model"]["init_args"], recipes.read(BASE)
    for name in ("gma_until", "drawing_from", "lma_learning_rate_decay"):
        assert model[name] == base["model"]["init_args"][name]
    clock, _, schedules, *_ = content["trainer"]["callbacks"]
    assert clock == {
        "class_path": "callbacks.Clock",
        "init_args": {"minutes": 20, "steps": list(PHASES), "shares": list(SHARES)},
    }, "before the schedules, which ask it"
    assert PHASES[2:4] == (model["gma_until"], model["actions_until"])
    assert PHASES[4:] == tuple(model["lma_learning_rate_decay"])
    falls = schedules["init_args"]["difference"]["knots"]
    assert falls[0] == [PHASES[1], 1.0]
    assert PHASES[1] < falls[1][0] < PHASES[2]
    assert len(SHARES) == len(KINDS) == len(PHASES) - 1


def test_fit_takes_the_recipe(tmp_path: Path):
    content: dict[str, Any] = recipe(plan(SEEN, minutes=30), tmp_path, tmp_path, minutes=20)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    config = CommandLines("fit", ["--config", str(file)]).config["fit"]
    assert config.data.class_path.endswith("VideoFolder")
    assert tuple(config.data.init_args.region) == (100, 50, 300, 200)
    assert config.model.init_args.lma.actions == 6
