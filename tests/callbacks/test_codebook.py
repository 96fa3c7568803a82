"""Usage of local actions, counted over windows of steps."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks.codebook import CodebookHealth
from data_modules.common.errors import UserError
from tests.vdsm_glass.glass.small import small_sizes
from vdsm_glass.layers.quantizer import VectorQuantizer


class Run:
    """A trainer and a module, as far as the callback asks; `others` are the counts of another process."""

    def __init__(self, callback: CodebookHealth, others: Tensor | None = None) -> None:
        self.callback, self.logged = callback, {}
        self.quantizer = VectorQuantizer(small_sizes())
        reduce = lambda counts, reduce_op: counts if others is None else counts + others  # noqa: E731
        self.trainer: Any = SimpleNamespace(
            global_step=0,
            is_global_zero=True,
            is_last_batch=False,
            accumulate_grad_batches=1,
            strategy=SimpleNamespace(reduce=reduce),
        )
        self.module: Any = SimpleNamespace(quantizer=self.quantizer, log_dict=self.logged.update)

    def step(self, counts: list[float] | None) -> None:
        """A training step that chose actions so many times each; None where LMA was not run."""
        for batch in range(self.trainer.accumulate_grad_batches):
            if counts is not None:
                self.quantizer.add_counts(torch.tensor(counts))
            self.trainer.global_step += batch == self.trainer.accumulate_grad_batches - 1
            self.callback.on_train_batch_end(self.trainer, self.module, None, None, batch)


def test_a_window_is_logged_when_it_is_full_and_until_the_next_is():
    run = Run(CodebookHealth(window=2))
    run.step([4, 0, 0])
    assert run.logged == {}
    run.step([0, 4, 0])
    expected = {"codebook/usage_0": 0.5, "codebook/usage_1": 0.5, "codebook/usage_2": 0}
    expected |= {"codebook/perplexity": 2, "codebook/dead": 1}
    assert run.logged == pytest.approx(expected)
    run.logged.clear()
    run.step([0, 0, 8])
    assert run.logged == pytest.approx(expected)
    run.step([0, 0, 8])
    assert run.logged["codebook/perplexity"] == pytest.approx(1)
    assert run.logged["codebook/dead"] == 2


def test_a_window_counts_steps_and_not_the_batches_of_one():
    run = Run(CodebookHealth(window=2))
    run.trainer.accumulate_grad_batches = 2
    for counts in ([4, 0, 0], [0, 4, 0], [0, 0, 4]):
        run.step(counts)
    assert run.logged["codebook/perplexity"] == pytest.approx(2)


def test_nothing_is_logged_while_no_action_is_inferred():
    run = Run(CodebookHealth(window=1))
    run.step(None)
    assert run.logged == {}
    run.step([1, 1, 1])
    assert run.logged["codebook/perplexity"] == pytest.approx(3)


def test_all_processes_count():
    run = Run(CodebookHealth(window=1), others=torch.tensor([0.0, 3.0, 0.0]))
    run.step([1, 0, 0])
    assert run.logged["codebook/usage_1"] == 0.75


def test_a_window_goes_on_where_a_checkpoint_was_taken():
    whole, checkpoint = Run(CodebookHealth(window=4)), {}
    for counts in ([1, 0, 0], [0, 1, 0], [0, 0, 1]):
        whole.step(counts)
    whole.callback.on_save_checkpoint(whole.trainer, whole.module, checkpoint)
    resumed = Run(CodebookHealth(window=4))
    resumed.trainer.global_step = 3
    resumed.callback.load_state_dict(whole.callback.state_dict())
    resumed.callback.on_load_checkpoint(resumed.trainer, resumed.module, checkpoint)
    for run in (whole, resumed):
        run.step([1, 0, 0])
    assert whole.logged == resumed.logged
    assert whole.logged["codebook/usage_0"] == 0.5


def test_a_window_of_nothing_is_refused():
    with pytest.raises(UserError, match=r"codebook\.window is 0"):
        CodebookHealth(window=0)
