"""The networks that are trained: which there are, how plain values make one, and how a checkpoint fills it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vdsm_glass.checkpoints import CheckpointError, misfits, read_checkpoint, shortened
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

Network = GLASS | FrameVDSM | SequenceVDSM

LARGEST = 1 << 14
"""No width that a file asks for may be larger."""
MOST_LAYERS = 1 << 7
"""Nor any number of layers, which take their time each, be their weights ever so small."""
LAYERS = ("mask_blocks", "bilinear_maps", "rnn_layers")
MALFORMED = (TypeError, ValueError, KeyError, AttributeError, RuntimeError, OverflowError, MemoryError)
"""What making a network from values that are none of ours raises."""


class WithoutInit(TorchFunctionMode):
    """Within it, `torch.nn.init` leaves tensors as they are, for weights that are there already.

    So a file that asks for absurdly large tensors takes no memory before it is seen that its weights are others.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Architecture:
    """All that a network is but its weights.

    Args: kind, of `KINDS`; arguments, plain values as JSON has them: numbers, texts, lists and dicts.
    """

    kind: str
    arguments: dict[str, Any]

    def make(self) -> Network:
        """An untrained network.  Raises: one of `MALFORMED`, the values are none of ours."""
        check_numbers(self.arguments)
        return KINDS[self.kind](self.arguments)

    def filled(self, state: Mapping[str, Tensor]) -> Network:
        """The network with these weights, in evaluation mode, without gradients.

        Raises: ValueError, they do not fit; as `make`.
        """
        with torch.random.fork_rng(devices=[]), WithoutInit():
            network = self.make()
        wanted = network.state_dict()
        if problems := misfits(wanted, dict(state)) or no_weights(wanted, state):
            raise ValueError(shortened(problems))
        network.load_state_dict(dict(state))
        return network.eval().requires_grad_(False)


def load_checkpoint(path: Path | str) -> tuple[Architecture, Network]:
    """The network of a checkpoint that `vdsm-glass fit` wrote; runs no code from the file.

    Raises: CheckpointError, the file is missing, cut short, foreign, or of no model of ours.
    """
    checkpoint = read_checkpoint(path)
    state = {
        name.removeprefix("net."): value for name, value in checkpoint["state_dict"].items() if name.startswith("net.")
    }
    try:
        architecture = architecture_of(checkpoint["hyper_parameters"], state)
        return architecture, architecture.filled(state)
    except MALFORMED as error:
        raise CheckpointError(
            f"{path}: holds no network of ours ({type(error).__name__}: {error}); give a checkpoint that `vdsm-glass "
            "fit` wrote, runs/.../checkpoints/last.ckpt, for one"
        ) from error


def architecture_of(given: Mapping[str, Any], state: Mapping[str, Tensor]) -> Architecture:
    """What a checkpoint's hyper-parameters and the names of its weights say.  Raises: KeyError, neither's."""
    if "gma" in given:
        names = ("gma", "lma", "theta", "shifts_from_inpainted")
        return Architecture(kind="glass", arguments={name: plain(given[name]) for name in names})
    second = any(name.startswith("frames.") for name in state)
    return Architecture(kind="vdsm" if second else "vdsm_frames", arguments={"sizes": plain(given["sizes"])})


def no_weights(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What keeps tensors of the right names and shapes from being weights, one phrase each."""
    problems = []
    for name, value in found.items():
        if value.is_floating_point() != wanted[name].is_floating_point():
            problems.append(f"{name} holds {value.dtype}, expected {wanted[name].dtype}")
        elif not value.isfinite().all():
            problems.append(f"{name} is not finite: its training diverged")
    return problems


def plain(value: Any) -> Any:
    """The value as it would come back from JSON."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def check_numbers(value: Any, *, largest: int = LARGEST) -> None:
    """Raises: ValueError, a number that would ask for more memory or time than any network of ours has needed."""
    named = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    if len(named) > MOST_LAYERS or (isinstance(value, int | float) and not abs(value) <= largest):
        raise ValueError(f"{str(value)[:40]} is larger than any size of ours, {largest if not named else MOST_LAYERS}")
    for name, part in named.items():
        check_numbers(part, largest=MOST_LAYERS if name in LAYERS else LARGEST)


def sizes(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """The dataclass of sizes, lists as the tuples that it has."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _glass(given: Mapping[str, Any]) -> GLASS:
    return GLASS(
        gma=sizes(GMASizes, given["gma"]),
        lma=sizes(LMASizes, given["lma"]),
        theta=given["theta"],
        shifts_from_inpainted=given["shifts_from_inpainted"],
    )


KINDS: dict[str, Callable[[Mapping[str, Any]], Network]] = {
    "glass": _glass,
    "vdsm": lambda given: SequenceVDSM(sizes(Sizes, given["sizes"])),
    "vdsm_frames": lambda given: FrameVDSM(sizes(Sizes, given["sizes"])),
}


def count(network: nn.Module) -> int:
    """How many numbers were trained."""
    return sum(parameter.numel() for parameter in network.parameters())
