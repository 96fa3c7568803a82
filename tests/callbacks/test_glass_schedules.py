"""GLASS's schedules reach the module that is trained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from callbacks import GLASSSchedules
from tests.callbacks.test_glass_evaluation import model
from vdsm_glass.schedules import Schedule


def test_every_step_is_taken_with_the_values_of_its_schedules():
    knots = {"T_f": [5, 1], "T": [6, 12], "recf_levels": [4, 2], "clips": [8, 2]}
    schedules = GLASSSchedules(
        **{
            name: Schedule(knots=[[10, first], [30, last]], shape="linear", rounding="nearest")
            for name, (first, last) in knots.items()
        }
    )
    module, logged = model(), {}
    module.log_dict = logged.update  # pyright: ignore[reportAttributeAccessIssue]
    for step, share in ((0, 0), (10, 0), (20, 0.5), (30, 1), (99, 1)):
        trainer: Any = SimpleNamespace(global_step=step)
        module.trainer = trainer
        schedules.on_train_batch_start(trainer, module, None, 0)
        expected = {name: first + share * (last - first) for name, (first, last) in knots.items()}
        assert {name: getattr(module, name) for name in knots} == expected
        assert logged == {f"schedule/{name}": value for name, value in expected.items()}
