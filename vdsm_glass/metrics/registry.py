"""Which metrics there are, what each needs, and under which name its numbers are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass.metrics.protocol import Protocol
from vdsm_glass.published_weights import I3D_FEWEST_FRAMES, LPIPS_BACKBONES

if TYPE_CHECKING:
    from torchmetrics import Metric

    from vdsm_glass.metrics.lpips import Net

Kind = Literal["pair", "distribution", "detection"]


@dataclass(frozen=True)
class MetricKind:
    """A metric by name.

    Args:
        kind: how it is fed. `pair`: `update(generated, reference)`, `compute()` gives `mean` and `per_position`;
            `distribution`: `update(video, real=...)`, a scalar; `detection`: as `pair`, gives `mdr` and `add`.
        published: makes the metric of the published weights, from a file or the cache; raises UserError.
        fewest_frames: that a clip must have.
        weights: the file it needs, by its key in `pretrained.WEIGHTS`; None if none.
        random: makes the metric of random weights; None if there is none such.
        random_name: what is appended to the name of its numbers.
        depends_on_length: whether a number says nothing without the frames, stride and count of the clips, which are
            then part of its name.
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
        """The metric, new.

        Args: weights, the file; stand_in, random weights instead, where the metric has weights.
        Raises: UserError, the weights are not there, or there is no stand-in for them.
        """
        if not stand_in or self.weights is None:
            return self.published(weights)
        if self.random is None:
            raise UserError(f"{self.name} has no stand-in for its weights; leave it out, or fetch them")
        return self.random()

    def sized(self, protocol: Protocol) -> str:
        """The metric's name, with what its numbers depend on: `fvd_16f_s1_130clips`."""
        if not self.depends_on_length:
            return self.name
        return f"{self.name}_{protocol.frames - protocol.given_frames}f_s{protocol.stride}_{protocol.clips}clips"

    def reported(self, stand_in: bool = False) -> str:
        """The name of its numbers: what random weights give is never called by the metric's own name."""
        return f"{self.name}/{self.random_name}" if stand_in and self.weights is not None else self.name


def _of(module: str) -> Any:
    """A module of this package, imported when a metric is made: their names are known without PyTorch."""
    return import_module(f"vdsm_glass.metrics.{module}")


def _lpips(net: Net) -> MetricKind:
    return MetricKind(
        name=f"lpips_{net}",
        kind="pair",
        published=lambda weights: _of("lpips").LPIPS(_of("lpips").lpips_network(net, weights)),
        weights=LPIPS_BACKBONES[net],
        random=lambda: _of("lpips").LPIPS(_of("lpips").random_lpips_network(net)),
    )


def _add_mdr(weights: Path | None) -> Metric:
    detector, checksum = _of("detection").person_detector(weights)
    return _of("detection").ADDMDR(detector, name="fasterrcnn-resnet50-fpn-coco", checksum=checksum)


METRICS = {
    metric.name: metric
    for metric in (
        MetricKind(name="mse", kind="pair", published=lambda _: _of("pairs").MSE()),
        MetricKind(name="psnr", kind="pair", published=lambda _: _of("pairs").PSNR()),
        MetricKind(name="ssim", kind="pair", published=lambda _: _of("pairs").SSIM()),
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
            name="fvd",
            kind="distribution",
            published=lambda weights: _of("frechet").FVD(_of("features").i3d(weights)),
            fewest_frames=I3D_FEWEST_FRAMES,
            weights="i3d",
            random=lambda: _of("frechet").FVD(_of("features").random_video_features()),
            random_name="random_features",
            depends_on_length=True,
        ),
        MetricKind(name="add_mdr", kind="detection", published=_add_mdr, weights="fasterrcnn"),
    )
}
DEFAULT = ("mse", "psnr", "ssim", "lpips_vgg", "fid", "fvd")


def check_names(names: Iterable[str]) -> None:
    """Raises: UserError, one is no metric."""
    for name in names:
        if name not in METRICS:
            raise UserError(f"{name!r} is no metric{did_you_mean(name, METRICS)}; there are {', '.join(METRICS)}")
