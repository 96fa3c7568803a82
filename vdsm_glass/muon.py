"""Muon for the weights of layers, Adam for all else, as one optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vdsm_glass.layers.mixture_conv import MixtureConvTranspose2d

LAYERS = (nn.Linear, nn.Conv2d, MixtureConvTranspose2d)
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of the polynomial a x + b x³ + c x⁵, which brings what lies in (0, 1] near 1 when it is applied again and again."""
ROUNDS = 5
LIKE_ADAM = 0.2
"""Root mean square of a change at a learning rate of 1, about that of Adam, so that one rate serves both."""


class Muon(torch.optim.Adam):
    """Adam, except that the weight of a layer is changed by a matrix whose singular values are all near 1.

    Adam scales each number of a weight by itself. A direction in which the loss falls slowly is then one in which the
    weight moves slowly. Muon moves all directions alike: with M ← β M + (1 - β) G, where G is the gradient, the change
    is the orthogonal part of β M + (1 - β) G. The weights are those of `LAYERS`, as `as_matrix` sees them.

    Source: Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024; for `LIKE_ADAM`, Liu et al.,
    *Muon is scalable for LLM training*, arXiv 2502.16982, section 2.2. `torch.optim.Muon` takes matrices alone.

    Args:
        module: whose parameters are trained; those that take no gradient are left out.
        lr: of both parts.
        beta: of M.
        adam: further options of `torch.optim.Adam`.
    """

    def __init__(self, module: nn.Module, *, lr: float, beta: float = 0.95, **adam: Any) -> None:
        trained = [each for each in module.parameters() if each.requires_grad]
        weights = {layer.weight for layer in module.modules() if isinstance(layer, LAYERS)}
        groups = [
            {"params": [each for each in trained if each not in weights], "orthogonal": False},
            {"params": [each for each in trained if each in weights], "orthogonal": True},
        ]
        super().__init__([group for group in groups if group["params"]], lr=lr, **adam)
        self.beta = beta

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both parts.  Returns: what `closure` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients: dict[Tensor, Tensor] = {}
        for group in self.param_groups:
            if group["orthogonal"]:
                for weight in group["params"]:
                    if weight.grad is not None:
                        gradients[weight] = weight.grad
                        self.change(weight, weight.grad, rate=group["lr"])
                        weight.grad = None  # so that Adam leaves it alone
        super().step()
        for weight, gradient in gradients.items():
            weight.grad = gradient
        return loss

    def change(self, weight: Tensor, gradient: Tensor, *, rate: float) -> None:
        """Changes the weight of a layer."""
        state = self.state[weight]
        if not state:
            # Adam looks for a step in all state that it reads from a checkpoint.
            state["step"], state["exp_avg"] = torch.zeros(()), torch.zeros_like(weight)
        mean = state["exp_avg"].lerp_(gradient, 1 - self.beta)
        matrix = as_matrix(gradient.lerp(mean, self.beta))
        length = LIKE_ADAM * math.sqrt(max(matrix.shape[-2:]))
        weight.add_(orthogonal(matrix).view_as(weight), alpha=-rate * length)


def as_matrix(weight: Tensor) -> Tensor:
    """The weight of one of `LAYERS` as a matrix, or as one for each expert.

    Args: weight (out, in); (out, in, kh, kw); (experts, kh, kw, out, in).
    Returns: (out, in); (out, in kh kw); (experts, kh kw out, in).
    """
    return weight.flatten(1, 3) if weight.dim() == 5 else weight.flatten(1)


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V' of a matrix U S V': singular values between .7 and 1.2, but for those that are nearly 0.

    Args: matrix (..., m, n).   Returns: (..., m, n).
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    # Every round multiplies x from the left by a polynomial of x x'. They commute, so x x' is all that rounds need.
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    a, b, c = QUINTIC
    product = identity
    for _ in range(ROUNDS):
        factor = a * identity + b * gram + c * gram @ gram
        product, gram = factor @ product, factor @ gram @ factor
    x = product @ x
    return x.mT if tall else x
