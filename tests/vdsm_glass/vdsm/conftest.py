import pytest
import torch

from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

SIZES = Sizes(
    kappa_z=3,
    kappa_s=4,
    kappa_d=5,
    rnn_layers=2,
    rnn_dim=6,
    combiner_dim=7,
    transition_dim=8,
    encoder_channels=(4, 4, 8),
    identity_dim=6,
    decoder_channels=(8, 4),
)


@pytest.fixture
def sizes() -> Sizes:
    return SIZES


@pytest.fixture
def frames() -> FrameVDSM:
    torch.manual_seed(1)
    net = FrameVDSM(SIZES)
    net.tau_s.fill_(3.0)
    return net


@pytest.fixture
def sequences() -> SequenceVDSM:
    torch.manual_seed(2)
    net = SequenceVDSM(SIZES)
    net.frames.tau_s.fill_(3.0)
    return net


@pytest.fixture
def video() -> torch.Tensor:
    """(b 3, t 4, 3, 16, 16) in [0, 1]."""
    return torch.rand(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(3))
