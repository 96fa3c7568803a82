"""L_VGG: the distance of two pictures in the features of VGG-19.  [Johnson et al. 2016; GLASS Eqs. (4) and (8)]"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass import published_weights

Kind = Literal["none", "random", "vgg19"]

LAYOUT = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512,))
"""Outputs of VGG-19's convolutions up to relu5_1, with max pooling between the groups."""
POSITIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
"""Their positions in torchvision's `features`."""
NAME, ADDRESS = published_weights.WEIGHTS["vgg19"].name, published_weights.WEIGHTS["vgg19"].address
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGLoss(nn.Module):
    """Σ_i E|φ_i(x̂) - φ_i(x)| over relu1_1 ... relu5_1 of VGG-19; the target's features have no gradient.

    Weights are frozen and not part of any checkpoint, because the file or the seed determines them.

    Args:
        kind: `vgg19` for torchvision's weights; `random` for fixed random ones and an eighth of the width, which are
            not perceptual but need no file.
        weights: the file; by default `vgg19-dcbb9e9d.pth` in the cache.

    Raises: UserError, the file is missing or is not VGG-19.
    """

    def __init__(self, kind: Literal["random", "vgg19"], *, weights: Path | None = None) -> None:
        super().__init__()
        state = _read(weights) if kind == "vgg19" else random_weights(divide_width_by=8)
        self.groups: list[list[str]] = []
        names = iter(POSITIONS)
        for group in LAYOUT:
            self.groups.append([f"features_{next(names)}" for _ in group])
            for name in self.groups[-1]:
                for part in ("weight", "bias"):
                    # A parameter, because DDP sends buffers to every process in every step.
                    value = state[f"{name.replace('_', '.')}.{part}"]
                    self.register_parameter(f"{name}_{part}", nn.Parameter(value, requires_grad=False))
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_parameter(name, nn.Parameter(torch.tensor(values)[:, None, None], requires_grad=False))

    def forward(self, drawn: Tensor, target: Tensor) -> Tensor:
        """Drawn and target (n, 3, h, w) in [-1, 1] -> a scalar, float32."""
        with torch.no_grad():
            wanted = self.features(target)
        pairs = zip(self.features(drawn), wanted, strict=True)
        return torch.stack([(x.float() - y.float()).abs().mean() for x, y in pairs]).sum()

    def features(self, pictures: Tensor) -> list[Tensor]:
        """The five relu_{i}_1 maps of pictures (n, 3, h, w) in [-1, 1]."""
        x = ((pictures + 1) / 2 - self.get_parameter("mean")) / self.get_parameter("std")
        maps = []
        for level, group in enumerate(self.groups):
            if level:
                x = F.max_pool2d(x, kernel_size=2)
            for position, name in enumerate(group):
                weight, bias = self.get_parameter(f"{name}_weight"), self.get_parameter(f"{name}_bias")
                x = F.relu(F.conv2d(x, weight, bias=bias, padding=1))
                if position == 0:
                    maps.append(x)
        return maps

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Saves nothing."""

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Loads nothing."""


def make(kind: Kind, *, weights: Path | None = None) -> VGGLoss | None:
    """The loss that a config asks for.  Raises: as `VGGLoss`."""
    return None if kind == "none" else VGGLoss(kind, weights=weights)


def random_weights(*, divide_width_by: int) -> dict[str, Tensor]:
    """He-initialised weights by torchvision's names, the same every time."""
    generator = torch.Generator().manual_seed(19)
    state = {}
    for key, shape in _shapes(divide_width_by).items():
        scale = math.sqrt(2 / math.prod(shape[1:])) if key.endswith("weight") else 0.0
        state[key] = scale * torch.randn(shape, generator=generator)
    return state


def _read(given: Path | None) -> dict[str, Tensor]:
    path = published_weights.find(
        "vgg19",
        given=given,
        wanted_by="perceptual: vgg19",
        otherwise="set --model.perceptual none (no such loss) or random (untrained features, to try things with)",
    )
    state, shapes = published_weights.read_state(path, of="VGG-19"), _shapes()
    if any(key not in state or tuple(state[key].shape) != shape for key, shape in shapes.items()):
        raise UserError(f"{path} is not VGG-19: its layers have other names or sizes; download {ADDRESS} in its place")
    return {key: state[key] for key in shapes}


def _shapes(divide_width_by: int = 1) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor by torchvision's name for it."""
    shapes: dict[str, tuple[int, ...]] = {}
    c_in = 3
    for position, width in zip(POSITIONS, (width for group in LAYOUT for width in group), strict=True):
        c_out = width // divide_width_by
        shapes[f"features.{position}.weight"] = (c_out, c_in, 3, 3)
        shapes[f"features.{position}.bias"] = (c_out,)
        c_in = c_out
    return shapes
