"""What D draws before it has learned anything."""

from __future__ import annotations

import pytest
import torch

from tests.vdsm_glass.glass.small import small_sizes
from vdsm_glass.glass.decoder import ChangeDecoder


@pytest.mark.parametrize(("copies", "least", "most"), [(0.0, 0.1, 1.0), (3.0, 0.0, 0.07)])
def test_an_untrained_decoder_may_copy_the_foreground_before(copies: float, least: float, most: float):
    torch.manual_seed(0)
    decoder = ChangeDecoder(small_sizes(drawing="change", window=32, copies=copies)).eval()
    sources = torch.rand(2, 2, 4, 32, 32)
    drawn = decoder(torch.randn(2, 6, 4, 4), sources)
    for found, before in ((drawn.frames[-1], sources[:, 0, :3]), (drawn.mask, sources[:, 0, 3:])):
        assert least < (found - before).abs().mean() < most
