"""LPIPS: how far two frames lie apart in the features of a classifier, as people see it.  [Zhang et al. 2018]"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.metrics.features import Extractor, parameters_sha256
from vdsm_glass.metrics.pairs import PairMetric
from vdsm_glass.published_weights import LPIPS_BACKBONES

if TYPE_CHECKING:
    import lpips

Net = Literal["vgg", "alex", "squeeze"]

FROM_TORCHVISION = "features."


class LPIPS(PairMetric):
    """Σ_l mean over positions of w_l · (φ̂_l(x̂) - φ̂_l(x))², version 0.1, at the frames' own size.

    Args:
        network: see `lpips_network` and `random_lpips_network`.
        chunk: as `PairMetric`.
    """

    higher_is_better = False

    def __init__(self, network: Extractor, *, chunk: int = 16) -> None:
        super().__init__(chunk=chunk)
        self.network = network

    @property
    def protocol(self) -> dict[str, str]:
        """Which network the number is from."""
        return {"network": self.network.name, "checksum": self.network.checksum}

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        return self.network(generated, reference)


class LPIPSNetwork(Extractor):
    """The package's network, which gives pairs of frames their distance."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Frames (n, 3, h, w) in [0, 1] each -> (n,)."""
        return self.network(x, y, normalize=True).flatten()


def lpips_network(net: Net, weights: Path | None = None) -> LPIPSNetwork:
    """The published network: the package's linear layers on torchvision's backbone.

    Args: weights, of the backbone as torchvision has them, or of its `features` alone; from the cache by default.
    Raises: UserError, they are not there or are something else.
    """
    path = published_weights.find_for_metric(LPIPS_BACKBONES[net], given=weights, metric=f"lpips_{net}")
    state = published_weights.read_state(path, of=LPIPS_BACKBONES[net])
    state = {name.removeprefix(FROM_TORCHVISION): value for name, value in state.items()}
    network = _untrained(net)
    # The package cuts torchvision's layers into slices, and keeps their numbers: slice2.3.weight is 3.weight.
    wanted = {name: name.partition(".")[2] for name in network.net.state_dict()}
    try:
        network.net.load_state_dict({name: state[theirs] for name, theirs in wanted.items()})
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"{path} is not {LPIPS_BACKBONES[net]}: {error}; download {_address(net)} in its place"
        ) from error
    name = f"lpips-0.1-{net}"
    return LPIPSNetwork(network, name=name, checksum=published_weights.sha256(path), num_features=1)


def random_lpips_network(net: Net, seed: int = 0) -> LPIPSNetwork:
    """A stand-in: the same layers on a backbone of random weights. Its distances are not what people see."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _untrained(net)
    return LPIPSNetwork(network, name="random_weights", checksum=parameters_sha256(network), num_features=1)


def _untrained(net: Net) -> lpips.LPIPS:
    """Linear layers from the package, a backbone of random weights; nothing is downloaded."""
    import lpips

    with warnings.catch_warnings():
        # The package names torchvision's weights as torchvision no longer wants them named.
        warnings.filterwarnings("ignore", message="The parameter 'pretrained' is deprecated")
        warnings.filterwarnings("ignore", message="Arguments other than a weight enum")
        return lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)


def _address(net: Net) -> str:
    return published_weights.WEIGHTS[LPIPS_BACKBONES[net]].address
