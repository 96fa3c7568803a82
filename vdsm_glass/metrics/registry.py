"""The metrics by name: what each needs, and the name of its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass.metrics.results import Protocol
from vdsm_glass.published_weights import I3D_FEWEST_FRAMES, LPIPS_BACKBONES

if TYPE_CHECKING:
    from torchmetrics import Metric

    from vdsm_glass.metrics.similarity import Net

Kind = Literal["pair", "distribution", "detection"]


@dataclass(frozen=True)
class MetricKind:
    """A metric and how to make it.

    Args:
        kind: how it is used. `pair`: `update(generated, reference)`, `compute()` gives `mean` and `per_position`;
            `distribution`: `update(video, real=...)`, a scalar; `detection`: as `pair`, gives `mdr` and `add`.
        published: makes the metric with published weights, from a file or the cache; raises UserError.
        fewest_frames: the fewest that a clip can have.
        weights: the key in `published_weights.WEIGHTS` of the file it needs; None if it needs none.
        random: makes the metric with random weights; None if it has no such form.
        random_name: suffix of the results' name with random weights.
        depends_on_length: whether results depend on the number, frames and stride of the clips, which are then part of
            their name.
    """

    name: str
    kind: Kind
    published: Callable[[Path | None], Metric]
    fewest_frames: int = 1
    weights: str | None = None
    random: Callable[[], Metric] | None = None
    random_name: str = "random_weights"
    depends_on_length: bool = False

    def make(self, weights: Path | None = None, stand_in: bool = False) -> Metric:
        """A new metric.

        Args: weights, the file, by default that in the cache; stand_in, take random weights in place of published ones.
        Raises: UserError, the weights are missing, or have no stand-in.
        """
        if not stand_in or self.weights is None:
            return self.published(weights)
        if self.random is None:
            raise UserError(f"{self.name} has no stand-in for its weights; leave it out, or fetch them")
        return self.random()

    def sized(self, protocol: Protocol) -> str:
        """The metric's name with what its results depend on, as in `fvd_16f_s1_130clips`."""
        if not self.depends_on_length:
            return self.name
        return f"{self.name}_{protocol.frames - protocol.given_frames}f_s{protocol.stride}_{protocol.clips}clips"

    def reported(self, stand_in: bool = False) -> str:
        """The name of its results, which differs from the metric's own if weights are random."""
        return f"{self.name}/{self.random_name}" if stand_in and self.weights is not None else self.name


def _of(module: str) -> Any:
    """A module of this package, imported when a metric is made, so that names are known without PyTorch."""
    return import_module(f"vdsm_glass.metrics.{module}")


def _lpips(net: Net) -> MetricKind:
    return MetricKind(
        name=f"lpips_{net}",
        kind="pair",
        published=lambda weights: _of("similarity").LPIPS(_of("similarity").lpips_network(net, weights)),
        weights=LPIPS_BACKBONES[net],
        random=lambda: _of("similarity").LPIPS(_of("similarity").random_lpips_network(net)),
    )


def _add_mdr(weights: Path | None) -> Metric:
    detector, checksum = _of("detection").person_detector(weights)
    return _of("detection").ADDMDR(detector, name="fasterrcnn-resnet50-fpn-coco", checksum=checksum)


METRICS = {
    metric.name: metric
    for metric in (
        MetricKind(name="mse", kind="pair", published=lambda _: _of("similarity").MSE()),
        MetricKind(name="psnr", kind="pair", published=lambda _: _of("similarity").PSNR()),
        MetricKind(name="ssim", kind="pair", published=lambda _: _of("similarity").SSIM()),
        _lpips("vgg"),
        _lpips("alex"),
        _lpips("squeeze"),
        MetricKind(
            name="fid",
            kind="distribution",
            published=lambda weights: _of("frechet").FID(_of("features").inception(weights)),
            weights="inception",
            random=lambda: _of("frechet").FID(_of("features").random_frame_features()),
            random_name="random_features",
        ),
        MetricKind(
            name="kid",
            kind="distribution",
            published=lambda weights: _of("kernel_distance").KID(_of("features").inception(weights, metric="kid")),
            weights="inception",
            random=lambda: _of("kernel_distance").KID(_of("features").random_frame_features()),
            random_name="random_features",
        ),
        MetricKind(  # its weights lie where PyTorch Hub puts them, with the code that reads them
            name="fd_dinov2",
            kind="distribution",
            published=lambda weights: _of("frechet").FID(_of("features").dinov2(weights)),
        ),
        MetricKind(
            name="fvd",
            kind="distribution",
            published=lambda weights: _of("frechet").FVD(_of("features").i3d(weights)),
            fewest_frames=I3D_FEWEST_FRAMES,
            weights="i3d",
            random=lambda: _of("frechet").FVD(_of("features").random_video_features()),
            random_name="random_features",
            depends_on_length=True,
        ),
        MetricKind(
            name="fmd",
            kind="distribution",
            published=lambda _: _of("motion_distance").FMD(),
            fewest_frames=3,
            depends_on_length=True,
        ),
        MetricKind(name="add_mdr", kind="detection", published=_add_mdr, weights="fasterrcnn"),
    )
}
DEFAULT_METRICS = ("mse", "psnr", "ssim", "lpips_vgg", "fid", "fvd", "fmd")
"""The metrics that `test` and `score` compute if none are named."""


def check_names(names: Iterable[str]) -> None:
    """Raises: UserError, one is not a metric."""
    for name in names:
        if name not in METRICS:
            raise UserError(f"{name!r} is not a metric{did_you_mean(name, METRICS)}; there are {', '.join(METRICS)}")
