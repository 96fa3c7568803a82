from dataclasses import replace

import pytest

from tests.vdsm_glass.glass.small import small_sizes
from vdsm_glass.glass.sizes import GMASizes, LMASizes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 0}, "hidden is 0, expected a whole number from 1 to"),
        ({"bilinear_maps": 2.5}, "bilinear_maps is 2.5"),
        ({"noise_channels": -1}, "noise_channels is -1, expected a whole number from 0 to"),
        ({"encoder_channels": (16, 32)}, "2 widths, expected 3"),
        ({"decoder_channels": (8, 0, 8)}, "decoder_channels"),
        ({"actions": 1}, "actions is 1, expected a whole number from 2 to"),
        ({"directions": "straight"}, "'straight', expected one of bilinear, plain"),
        ({"quantizer": "vqvae"}, "'vqvae', expected one of vq, gumbel"),
    ],
)
def test_nonsense_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        small_sizes(**changes)


@pytest.mark.parametrize("changes", [{"mask_channels": (64,)}, {"mask_blocks": -1}, {"shift_channels": (0,) * 5}])
def test_nonsense_is_named_in_gma_too(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(GMASizes(), **changes)


def test_parameters_of_the_paper_width():
    """Counted by hand from Fig. 10's list: weights and biases of the linear layers of U and of T^1..T^4."""
    from vdsm_glass.glass.action import ActionNetwork

    network = ActionNetwork(LMASizes())
    mlp = (64 * 128 + 128) + 2 * 128 + (128 * 64 + 64) + 2 * 64 + (64 * 16 + 16)
    widths = [(64, 128), (128, 128), (128, 128), (128, 64)]
    maps = sum(64 * a + a * a * b + b for a, b in widths) + 3 * 2 * 128
    assert sum(p.numel() for p in network.U.parameters()) == mlp
    assert sum(p.numel() for p in network.directions.parameters()) == maps
