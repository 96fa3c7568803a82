"""A network apart from its weights: how plain values make it, and how weights fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from data_modules.common.errors import MALFORMED, UserError
from vdsm_glass.checkpoints import FITTED, CheckpointError, misfits, read_checkpoint, shortened
from vdsm_glass.registry import kind_named

BESIDE = f"{FITTED}."
"""Begins the names of tensors that lie beside the weights and are none."""
UNFIT = (UserError, *MALFORMED)
"""What it raises to make a network from the values of a foreign file."""


class WithoutInit(TorchFunctionMode):
    """Within it, `torch.nn.init` leaves tensors as they are, because weights will replace them."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Architecture:
    """What a network is besides its weights.

    Args: kind, a name in `vdsm_glass.registry`; arguments, plain values as JSON has them.
    """

    kind: str
    arguments: dict[str, Any]

    @classmethod
    def of_checkpoint(cls, given: Mapping[str, Any], names: Mapping[str, Any]) -> Architecture:
        """What a checkpoint's hyper-parameters say.  Args: names, of its weights.   Raises: one of `UNFIT`."""
        kind = given["kind"] if "kind" in given else _kind_of_older(given, names)
        arguments = kind_named(kind).model_class.network_arguments
        return cls(kind=kind, arguments={name: _plain(given[name]) for name in arguments})

    def filled(self, state: Mapping[str, Tensor]) -> nn.Module:
        """The network with these weights, in evaluation mode, without gradients.

        What is named as `BESIDE` is given to it by `Model.carry`.

        It is made on PyTorch's meta device first, where tensors have shapes and no memory: a file that asks for
        absurdly large ones costs nothing before its weights are seen not to fit.

        Raises: one of `UNFIT`, the values make no network or the weights do not fit.
        """
        model_class = kind_named(self.kind).model_class
        build = model_class.build
        beside = {name.removeprefix(BESIDE): value for name, value in state.items() if name.startswith(BESIDE)}
        state = {name: value for name, value in state.items() if not name.startswith(BESIDE)}
        with torch.random.fork_rng(devices=[]), WithoutInit():
            with torch.device("meta"):
                wanted = build(self.arguments).state_dict()
            if problems := misfits(wanted, state) or _not_weights(wanted, state):
                raise ValueError(shortened(problems))
            network = build(self.arguments)
        network.load_state_dict(state)
        if beside:
            model_class.carry(network, beside)
        return network.eval().requires_grad_(False)


def load_checkpoint(path: Path | str) -> tuple[Architecture, nn.Module]:
    """The network of a checkpoint that `vdsm-glass fit` wrote; runs no code from the file.

    Raises: CheckpointError, the file is missing, cut short, foreign, or of a model that has not registered.
    """
    checkpoint = read_checkpoint(path)
    state = {
        name.removeprefix("net."): value for name, value in checkpoint["state_dict"].items() if name.startswith("net.")
    }
    try:
        architecture = Architecture.of_checkpoint(checkpoint["hyper_parameters"], state)
        beside = {f"{BESIDE}{name}": value for name, value in checkpoint.get(FITTED, {}).items()}
        return architecture, architecture.filled(state | beside)
    except UNFIT as error:
        raise CheckpointError(
            f"{path}: does not hold a network that can be read here ({type(error).__name__}: {error}); give a "
            "checkpoint that `vdsm-glass fit` wrote, for example runs/.../checkpoints/last.ckpt"
        ) from error


def _kind_of_older(given: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """The kind in a checkpoint that was written before kinds were saved, until 2026-11-25."""
    if "gma" in given:
        return "glass"
    return "vdsm" if any(name.startswith("frames.") for name in names) else "vdsm_frames"


def _not_weights(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What keeps tensors of the right names and shapes from being weights, one phrase each."""
    problems = []
    for name, value in found.items():
        if value.is_floating_point() != wanted[name].is_floating_point():
            problems.append(f"{name} holds {value.dtype}, expected {wanted[name].dtype}")
        elif not value.isfinite().all():
            problems.append(f"{name} is not finite: its training diverged")
    return problems


def _plain(value: Any) -> Any:
    """The value as it would come back from JSON."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
