"""What a page in the browser needs of a model: networks as graphs, numbers, pictures and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """A network as the browser runs it: tensors of fixed sizes in and out.

    Args: network, whose `forward` takes the inputs by name; inputs, an example of each; outputs, their names.
    """

    network: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class WebPage:
    """A page of its own kind.

    Args:
        script: the name of its module in `static`.
        graphs, tensors: by the names that the script knows them under; tensors are float32 or uint8.
        settings: what else the script reads, as JSON has it.
        pictures: (3, h, w) in [0, 1], each by the name of its PNG file.
    """

    script: str
    graphs: dict[str, Graph]
    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    pictures: dict[str, Tensor] = field(default_factory=dict)
