"""How near generated frames come to the frames they should show: MSE, PSNR, SSIM and LPIPS."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from einops import rearrange, reduce
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.metrics.features import Extractor, draw_weights, parameters_sha256
from vdsm_glass.metrics.states import StatefulMetric

if TYPE_CHECKING:
    import lpips

SSIM_WINDOW = 11

Net = Literal["vgg", "alex", "squeeze"]


class PairMetric(StatefulMetric):
    """A score of every generated frame against its reference frame, and its mean over all clips.

    `compute` gives `mean`, a scalar over all frames, and `per_position`, (t,), over the frames of each position. The
    state is one number per frame. Subclasses define `score`.

    Args:
        chunk: how many pairs of frames are scored at once, which bounds memory.
    """

    def __init__(self, *, chunk: int = 64) -> None:
        super().__init__()
        self.chunk = chunk
        self.add_lists("scores")

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        """Frames (n, 3, h, w) in [0, 1] each -> (n,)."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, generated: Tensor, reference: Tensor) -> None:
        """Args: (b, t, 3, h, w) in [0, 1] each; t the same in every call.   Raises: UserError, t or a shape differs."""
        if generated.shape != reference.shape:
            raise UserError(
                f"{type(self).__name__} compares frame by frame, and the generated video is {tuple(generated.shape)}, "
                f"the reference {tuple(reference.shape)}; generate as many frames, as large, as the reference has"
            )
        frames = (rearrange(video.float(), "b t c h w -> (b t) c h w") for video in (generated, reference))
        parts = zip(*(video.split(self.chunk) for video in frames), strict=True)
        scores = rearrange(torch.cat([self.score(*part) for part in parts]), "(b t) -> b t", t=generated.shape[1])
        if self.scores and self.scores[0].shape[1] != scores.shape[1]:
            raise UserError(
                f"{type(self).__name__} has seen clips of {self.scores[0].shape[1]} frames, and now of "
                f"{scores.shape[1]}; score clips of one length at a time"
            )
        self.scores.append(scores)

    def compute(self) -> dict[str, Tensor]:
        scores = dim_zero_cat(self.scores).double()
        return {"mean": scores.mean(), "per_position": reduce(scores, "b t -> t", "mean")}


class MSE(PairMetric):
    """Mean over pixels and channels of (x̂ - x)², for x in [0, 1].

    >>> metric = MSE()
    >>> metric.update(torch.zeros(1, 2, 3, 16, 16), torch.full((1, 2, 3, 16, 16), 0.5))
    >>> metric.compute()["per_position"]
    tensor([0.2500, 0.2500], dtype=torch.float64)
    """

    higher_is_better = False

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        return reduce((generated - reference).square(), "n c h w -> n", "mean")


class PSNR(PairMetric):
    """10 log₁₀(1 / MSE) of each frame, in dB; infinite for a frame equal to its reference, and so is the mean then."""

    higher_is_better = True

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        from torchmetrics.functional.image import peak_signal_noise_ratio

        return peak_signal_noise_ratio(generated, reference, data_range=1.0, reduction="none", dim=(1, 2, 3))


class SSIM(PairMetric):
    """Structural similarity of each frame, in [-1, 1], Gaussian window of 11 pixels.  [Wang et al. 2004]"""

    higher_is_better = True

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        from torchmetrics.functional.image import structural_similarity_index_measure

        if min(generated.shape[-2:]) < SSIM_WINDOW:
            raise UserError(
                f"SSIM needs frames of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, and these are "
                f"{tuple(generated.shape[-2:])}; leave ssim out"
            )
        found = structural_similarity_index_measure(generated, reference, data_range=1.0, reduction="none")
        assert isinstance(found, Tensor)
        return found


class LPIPS(PairMetric):
    """Σ_l mean over positions of w_l · (φ̂_l(x̂) - φ̂_l(x))², version 0.1, at the frames' own size.

    The distance of two frames in the features of a classifier.  [Zhang et al. 2018]

    Args:
        network: see `lpips_network` and `random_lpips_network`.
        chunk: as `PairMetric`.
    """

    higher_is_better = False

    def __init__(self, network: LPIPSNetwork, *, chunk: int = 16) -> None:
        super().__init__(chunk=chunk)
        self.network = network
        self.network_info = network.info

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        return self.network(generated, reference)


class LPIPSNetwork(Extractor):
    """The `lpips` package's network, which gives pairs of frames their distance."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Frames (n, 3, h, w) in [0, 1] each -> (n,)."""
        return self.network(x, y, normalize=True).flatten()


def lpips_network(net: Net, weights: Path | None = None) -> LPIPSNetwork:
    """The published network: the package's linear layers on torchvision's backbone.

    Args: weights, a file of torchvision's network or of its `features` alone; by default that in the cache.
    Raises: UserError, the file is missing or another one.
    """
    key = published_weights.LPIPS_BACKBONES[net]
    path = published_weights.find_for_metric(key, given=weights, metric=f"lpips_{net}")
    state = published_weights.read_state(path, of=key)
    state = {name.removeprefix("features."): value for name, value in state.items()}
    network = _untrained(net)
    # The package cuts torchvision's layers into slices, and keeps their numbers: slice2.3.weight is 3.weight.
    wanted = {name: name.partition(".")[2] for name in network.net.state_dict()}
    try:
        network.net.load_state_dict({name: state[theirs] for name, theirs in wanted.items()})
    except (KeyError, RuntimeError) as error:
        address = published_weights.WEIGHTS[key].address
        raise UserError(f"{path} is not {key}: {error}; download {address} in its place") from error
    return LPIPSNetwork(network, name=f"lpips-0.1-{net}", checksum=published_weights.sha256(path), num_features=1)


def random_lpips_network(net: Net, seed: int = 0) -> LPIPSNetwork:
    """The same layers on a backbone of random weights, whose distances are not those that people see."""
    with torch.random.fork_rng(devices=[]):
        network = _untrained(net)
    draw_weights(network.net.modules(), seed=seed)
    return LPIPSNetwork(network, name="random_weights", checksum=parameters_sha256(network), num_features=1)


def _untrained(net: Net) -> lpips.LPIPS:
    """The package's network with its linear layers and a backbone of random weights; it downloads nothing."""
    import lpips

    with warnings.catch_warnings():
        # The package names torchvision's weights in a deprecated way.
        warnings.filterwarnings("ignore", message="The parameter 'pretrained' is deprecated")
        warnings.filterwarnings("ignore", message="Arguments other than a weight enum")
        return lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
