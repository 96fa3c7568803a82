"""A training ends in time, all phases gone through, on a fast machine and on a slow one."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from callbacks import clock
from callbacks.clock import LEAST_STEPS, Clock
from data_modules.common.errors import UserError
from tests.vdsm_glass.glass.small import NARROW, small_sizes
from vdsm_glass.glass.module import GLASSModule

STEPS, SHARES = [0, 100, 300, 350], [0.2, 0.5, 0.3]


class Time:
    """What `time.monotonic` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def small() -> tuple[Any, GLASSModule]:
    module = GLASSModule(
        perceptual="none",
        gma=NARROW,
        lma=small_sizes(codebook_start=50, revive_after=20),
        gma_until=300,
        shifts_until=350,
        learning_rate_decay=(100, 300),
    )
    return SimpleNamespace(should_stop=False, global_step=0), module


def goes_by(it: Clock, time: Time, seconds: Any, trainer: Any, module: GLASSModule) -> list[tuple[float, int]]:
    """When each step began, and where in the recipe; `seconds` of a step from where it is."""
    it.on_fit_start(trainer, module)
    found = []
    while not trainer.should_stop:
        it.on_train_batch_start(trainer, module, None, 0)
        found.append((time.now - 1000, module.position))
        time.now += seconds(module.position)
        trainer.global_step += 1
        it.on_train_batch_end(trainer)
    return found


@pytest.mark.parametrize("seconds", [lambda at: 0.1, lambda at: 2.9, lambda at: 0.2 if at < 100 else 3.0])
def test_each_phase_has_its_share_of_the_time_however_long_steps_take(seconds: Any, time: Time):
    trainer, module = small()
    it = Clock(2, STEPS, SHARES)
    time.now += 20  # reading videos
    went = goes_by(it, time, seconds, trainer, module)
    assert time.now - 1000 == pytest.approx(120, abs=3)
    assert all(after[1] >= before[1] for before, after in pairwise(went))
    for border, share in zip(STEPS[1:3], (0.2, 0.7), strict=True):
        began = next(when for when, at in went if at >= border)
        assert began == pytest.approx(20 + 100 * share, abs=6)
    assert went[-1][1] > 340


def test_time_is_kept_for_the_end(time: Time):
    trainer, module = small()
    it = Clock(2, STEPS, SHARES)

    def seconds(at: int) -> float:
        it.kept = 30.0 if at > 50 else 0.0
        return 1.0

    went = goes_by(it, time, seconds, trainer, module)
    assert max(after[1] - before[1] for before, after in pairwise(went)) < 10, "no part of the recipe is left out"
    assert went[-1][1] > 340
    assert time.now - 1000 == pytest.approx(90, abs=2)


def test_where_time_is_over_each_phase_has_a_few_steps(time: Time):
    trainer, module = small()
    went = goes_by(Clock(1, STEPS, SHARES), time, lambda at: 100, trainer, module)
    assert [sum(first <= at < last for _, at in went) for first, last in pairwise(STEPS)] == [LEAST_STEPS] * 3


@pytest.mark.parametrize("waits", [0, 500])
def test_a_resumed_run_has_the_rest_of_the_time(waits: float, time: Time):
    trainer, module = small()
    first = Clock(2, STEPS, SHARES)
    first.on_fit_start(trainer, module)
    for _ in range(40):
        time.now += 1
        first.advance()
    state, time.now = first.state_dict(), time.now + waits
    resumed = Clock(2, STEPS, SHARES)
    resumed.load_state_dict(state)
    assert (resumed.left, resumed.position, resumed.in_phase) == (80, first.position, first.in_phase)
    began, went = time.now, goes_by(resumed, time, lambda at: 1, trainer, module)
    assert went[0][1] == first.position
    assert time.now - began == pytest.approx(80, abs=1)
    assert trainer.should_stop
    ended = Clock(2, STEPS, SHARES)
    ended.load_state_dict(resumed.state_dict())
    assert not goes_by(ended, time, lambda at: 1, trainer, module)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 4.0])
def test_prototypes_start_and_are_revived_where_the_recipe_says(seconds: float, time: Time):
    trainer, module = small()
    it, quantizer, started = Clock(10, [0, 100], [1.0]), module.net.lma.VQ, []
    it.on_fit_start(trainer, module)
    for step in range(1, 9999):
        it.on_train_batch_start(trainer, module, None, 0)
        if step >= quantizer.codebook_start:  # pyright: ignore[reportOperatorIssue]
            started.append(it.position)
            revived = quantizer.revive_after
        time.now += seconds
        it.on_train_batch_end(trainer)
        if trainer.should_stop:
            break
    assert started[0] == pytest.approx(50, abs=2)
    assert revived == pytest.approx(0.2 * 600 / seconds, rel=0.1, abs=1)


def test_learning_rates_follow_the_recipe_and_not_the_optimiser():
    _, module = small()
    rates = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas
    assert [rate(200) for rate in rates] == pytest.approx([0.51, 1.0, 0.51])
    module.at = 300
    assert [rate(7) for rate in rates] == pytest.approx([0.02, 1.0, 1.0])


def test_a_clock_needs_time_and_a_share_for_each_phase():
    for wrong in ((0, STEPS, SHARES), (1, STEPS, SHARES[1:])):
        with pytest.raises(UserError, match="the clock has"):
            Clock(*wrong)
