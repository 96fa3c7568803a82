"""Batch norm over the batches of all processes, on CPUs too."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from lightning.pytorch.plugins import TorchSyncBatchNorm
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vdsm_glass.layers.processes import averaged, several_processes


class SyncBatchNorm(TorchSyncBatchNorm):
    """Lightning's `--trainer.sync_batchnorm true`, on CPUs too, where PyTorch's own layer stops with an error.

    There batches of all processes must be of one size, as those of `ClipSampler` are.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """The model with the statistics of its batch norms taken over all processes' batches."""
        if any(parameter.device.type != "cpu" for parameter in model.parameters()):
            return super().apply(model)
        for layer in _norms(model):
            vars(layer)["forward"] = partial(normalised, layer)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """The model as it was."""
        for layer in _norms(model):
            vars(layer).pop("forward", None)
        return super().revert(model)


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def normalised(layer: _BatchNorm, x: Tensor) -> Tensor:
    """`layer(x)` with the statistics of all processes, in training: (n, c, ...) -> (n, c, ...)."""
    if not layer.training or not several_processes():
        return type(layer).forward(layer, x)
    dims, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    mean = averaged(x.mean(dim=dims))
    centred = x - mean.view(shape)
    var = averaged(centred.square().mean(dim=dims))
    if layer.track_running_stats:
        running_mean, running_var, batches = (
            cast(Tensor, buffer) for buffer in (layer.running_mean, layer.running_var, layer.num_batches_tracked)
        )
        batches.add_(1)
        momentum = 1 / batches.item() if layer.momentum is None else layer.momentum
        n = x.numel() // x.shape[1] * distributed.get_world_size()
        running_mean.lerp_(mean.detach(), momentum)
        running_var.lerp_(var.detach() * n / max(n - 1, 1), momentum)
    out = centred * (var + layer.eps).rsqrt().view(shape)
    return torch.addcmul(layer.bias.view(shape), out, layer.weight.view(shape)) if layer.affine else out
