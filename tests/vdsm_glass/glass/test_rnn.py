from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vdsm_glass.glass.small import small_lma
from vdsm_glass.glass.rnn import RNN
from vdsm_glass.layers.blocks import ModulatedConv

ABLATIONS: list[dict[str, Any]] = [{}, {"modulated": False}, {"joint_input": True}, {"noise_channels": 2}]


def make(**changes: Any) -> tuple[RNN, Callable[..., Tensor]]:
    """An RNN in evaluation mode, and a function that runs it on one step of two clips, with the inputs changed."""
    rnn = small_lma(**changes).RNN.eval()
    torch.manual_seed(0)
    inputs = {"e": torch.randn(2, 1, 4, 4, 6), "delta_F": torch.randn(2, 1, 2), "a": torch.randn(2, 1, 4)}

    def run(**change: Callable[[Tensor], Tensor]) -> Tensor:
        changed = inputs | {name: function(inputs[name]) for name, function in change.items()}
        with torch.no_grad():
            return rnn(**changed, state=rnn.initial_state(2, 4, 6))[0]

    return rnn, run


@pytest.mark.parametrize("changes", ABLATIONS)
@pytest.mark.parametrize("name", ["e", "delta_F", "a"])
def test_every_input_moves_its_own_clip(changes, name):
    _, run = make(**changes)
    difference = run(**{name: lambda value: torch.cat([value[:1] + 1, value[1:]])}) - run()
    assert difference[0].abs().max() > 1e-2
    assert not difference[1].any()


def blocks_reached(rnn: RNN, run: Callable[..., Tensor], changed: str) -> list[str]:
    """Which of the six blocks get another embedding when `changed` does."""
    seen: dict[str, list[Tensor]] = {}

    def remember(name: str) -> Callable[..., None]:
        return lambda module, args: seen.setdefault(name, []).append(args[1])

    names = ["early", "down", "middle", "up", "late", "last"]
    handles = [getattr(rnn, name).register_forward_pre_hook(remember(name)) for name in names]
    run()
    run(**{changed: lambda value: value + 1})
    for handle in handles:
        handle.remove()
    return [name for name, (before, after) in seen.items() if not torch.equal(before, after)]


def test_the_shift_enters_the_first_two_blocks_and_the_action_the_other_four():
    rnn, run = make()
    assert blocks_reached(rnn, run, "delta_F") == ["early", "down"]
    assert blocks_reached(rnn, run, "a") == ["middle", "up", "late", "last"]


@pytest.mark.parametrize("changed", ["delta_F", "a"])
def test_joint_input_enters_all_blocks(changed):
    rnn, run = make(joint_input=True)
    assert blocks_reached(rnn, run, changed) == ["early", "down", "middle", "up", "late", "last"]


def test_modulation_is_what_the_ablation_takes_away():
    modulated, plain = (
        [m for m in make(modulated=flag)[0].modules() if isinstance(m, ModulatedConv)] for flag in (True, False)
    )
    assert len(modulated) == 2
    assert not plain


def test_noise_is_drawn_in_training_and_is_zero_in_evaluation():
    rnn, run = make(noise_channels=3)
    e = torch.randn(2, 4, 4, 6)
    assert not rnn.with_noise(e)[:, 4:].any()
    torch.testing.assert_close(run(), run())
    noise = rnn.train().with_noise(e.expand(2, 4, 4, 6))[:, 4:]
    assert noise.shape == (2, 3, 4, 6)
    assert noise.std() > 0.5
    assert not torch.equal(noise, rnn.with_noise(e)[:, 4:])


@pytest.mark.parametrize("changes", ABLATIONS)
def test_known_steps_at_once_are_steps_one_by_one(changes):
    rnn, _ = make(**changes)
    e, delta_F, a = torch.randn(2, 5, 4, 4, 6), torch.randn(2, 5, 2), torch.randn(2, 5, 4)
    s, last = rnn(e, delta_F, a, rnn.initial_state(2, 4, 6))
    state = rnn.initial_state(2, 4, 6)
    for t in range(5):
        now = slice(t, t + 1)
        s_t, state = rnn(e[:, now], delta_F[:, now], a[:, now], state)
        torch.testing.assert_close(s_t[:, 0], s[:, t], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


def test_two_interleaved_rollouts_do_not_disturb_each_other():
    rnn, _ = make()
    steps = [(torch.randn(1, 1, 4, 4, 6), torch.randn(1, 1, 2), torch.randn(1, 1, 4)) for _ in range(4)]

    def alone(order: list[int]) -> list[Tensor]:
        state, seen = rnn.initial_state(1, 4, 6), []
        for i in order:
            s, state = rnn(*steps[i], state)
            seen.append(s)
        return seen

    first, second = alone([0, 1, 2]), alone([3, 0, 3])
    states = [rnn.initial_state(1, 4, 6), rnn.initial_state(1, 4, 6)]
    for k, (i, j) in enumerate(zip([0, 1, 2], [3, 0, 3], strict=True)):
        s, states[0] = rnn(*steps[i], states[0])
        other, states[1] = rnn(*steps[j], states[1])
        assert torch.equal(s, first[k])
        assert torch.equal(other, second[k])
