"""What processes that train one model together agree on; one process alone keeps what it has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def several_processes() -> bool:
    """Whether other processes train the same model."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gathered(u: Tensor) -> Tensor:
    """The rows (n, d) of all processes, in the order of their ranks; without gradient."""
    if not several_processes():
        return u
    parts = [torch.empty_like(u) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, u.contiguous())
    return torch.cat(parts)


def agreed(value: Tensor) -> Tensor:
    """The first process's `value`, on all processes."""
    if several_processes():
        value = value.contiguous()
        distributed.broadcast(value, src=0)
    return value


def averaged(value: Tensor) -> Tensor:
    """The mean of the processes' `value`s, any shape, with its gradient.

    A loss that is no mean over clips is one of all clips if the means that it is made of are averaged.
    """
    return _Mean.apply(value) if several_processes() else value  # pyright: ignore[reportReturnType]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004
        value = value.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(value)
        return value / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process's loss depends on every process's value.
        return _Mean.forward(ctx, *gradients)
