import torch

from tests.reference.glass_networks import conv_lstm
from vdsm_glass.layers.conv_lstm import ConvLSTM


def make() -> tuple[ConvLSTM, torch.Tensor]:
    torch.manual_seed(0)
    lstm = ConvLSTM(3, 4)
    torch.nn.init.normal_(lstm.first_h)
    torch.nn.init.normal_(lstm.first_c)
    return lstm, torch.randn(2, 5, 3, 6, 7)


def test_equals_four_gates_each_with_a_convolution_of_its_own():
    lstm, x = make()
    weight = torch.cat([lstm.from_input.weight, lstm.from_state.weight], dim=1)
    weights = dict(zip("ifog", weight.chunk(4), strict=True))
    assert lstm.from_input.bias is not None
    biases = dict(zip("ifog", lstm.from_input.bias.chunk(4), strict=True))
    state = lstm.initial_state(2, 6, 7)
    outputs, _ = lstm(x, state)
    torch.testing.assert_close(outputs, conv_lstm(x, state.h, state.c, weights, biases), rtol=1e-5, atol=1e-6)


def test_frames_at_once_are_frames_one_by_one():
    lstm, x = make()
    outputs, last = lstm(x, lstm.initial_state(2, 6, 7))
    state = lstm.initial_state(2, 6, 7)
    for t in range(x.shape[1]):
        output, state = lstm(x[:, t : t + 1], state)
        torch.testing.assert_close(output[:, 0], outputs[:, t])
    torch.testing.assert_close(state, last)


def test_the_initial_state_is_learned_and_fits_any_size():
    lstm, x = make()
    outputs, _ = lstm(x[..., :3, :5], lstm.initial_state(2, 3, 5))
    outputs.square().sum().backward()
    for first in (lstm.first_h, lstm.first_c):
        assert first.grad is not None
        assert first.grad.abs().min() > 0


def test_the_memory_stays_float32_under_half_precision():
    lstm, x = make()
    exact, _ = lstm(x, lstm.initial_state(2, 6, 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = lstm(x, lstm.initial_state(2, 6, 7))
    assert state.c.dtype == torch.float32
    torch.testing.assert_close(outputs, exact, rtol=0.05, atol=0.02)
