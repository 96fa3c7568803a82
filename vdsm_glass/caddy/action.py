"""The action network A: from the features of two frames to one of K actions.  [CADDY]"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vdsm_glass.caddy.sizes import CADDYSizes
from vdsm_glass.layers.blocks import Residual

AVERAGING = 0.01
"""The share of a step's directions in the moving averages c_k."""
SMALLEST_WEIGHT = 1e-6
LOG_VARIANCE = 10.0
"""Bounds log σ², so that no KL overflows."""


class Gaussian(NamedTuple):
    """N(mean, exp(log_variance)), diagonal; both (b, t, direction_size)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """One draw, through which gradients pass to both."""
        return self.mean + (self.log_variance / 2).exp() * torch.randn_like(self.mean)


class Actions(NamedTuple):
    """The actions between b (t-1) pairs of frames.

    Args: states, e_t (b, t, ...); directions, d_t (b, t-1, ...); logits of p_t (b, t-1, K); a (b, t-1, K), one-hot,
        with the gradient of a softmax; v (b, t-1, direction_size), the variability.
    """

    states: Gaussian
    directions: Gaussian
    logits: Tensor
    a: Tensor
    v: Tensor


class ActionNetwork(nn.Module):
    """a_t ~ p_t = softmax(W d_t + b) by the Gumbel trick, and v_t = d_t - c_k of the chosen action k.

    e_t ~ N(μ_t, σ_t²) from f_t, and d_t ~ N(μ_{t+1} - μ_t, σ_{t+1}² + σ_t²), drawn in training and the mean in
    evaluation, where a_t is the likeliest action. c_k is a moving average of the directions of action k: v_t tells how
    this movement differs from others of its action.  [CADDY]
    """

    centroids: Tensor

    def __init__(self, sizes: CADDYSizes) -> None:
        super().__init__()
        features, wide = sizes.encoder_channels[-1], sizes.action_channels
        self.cnn = nn.Sequential(Residual(features, wide, down=2), Residual(wide, wide))
        self.state = nn.Linear(in_features=wide, out_features=2 * sizes.direction_size)
        self.classify = nn.Linear(in_features=sizes.direction_size, out_features=sizes.actions)
        self.register_buffer("centroids", torch.zeros(sizes.actions, sizes.direction_size))

    def forward(self, f: Tensor, *, temperature: float, learn_centroids: bool = True) -> Actions:
        """Args: f f_1..f_T (b, t, features, h, w); temperature τ; learn_centroids, whether c_k follow in training."""
        states = self.states(f)
        directions = between(states)
        d = directions.sample() if self.training else directions.mean
        logits = self.classify(d)
        if self.training:
            a = F.gumbel_softmax(logits, tau=temperature, hard=True)
            if learn_centroids:
                self.follow(d.detach(), logits.detach().softmax(dim=-1))
        else:
            a = F.one_hot(logits.argmax(dim=-1), num_classes=logits.shape[-1]).to(logits.dtype)
        return Actions(states, directions, logits, a, v=d - a @ self.centroids)

    def states(self, f: Tensor) -> Gaussian:
        """The posterior of e_t given f_t, float32 under autocast too."""
        seen = reduce(self.cnn(rearrange(f, "b t c h w -> (b t) c h w")), "n c h w -> n c", "mean")
        with torch.autocast(device_type=f.device.type, enabled=False):
            mean, log_variance = rearrange(self.state(seen.float()), "(b t) k -> b t k", b=len(f)).chunk(2, dim=-1)
        return Gaussian(mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE))

    @torch.no_grad()
    def follow(self, d: Tensor, p: Tensor) -> None:
        """c_k <- c_k + α w_k (mean_k - c_k), mean_k the mean of d weighted by p_k, w_k = min(1, Σ p_k).

        Args: d (b, t, direction_size); p (b, t, K).
        """
        weight = reduce(p, "b t k -> k", "sum")[:, None]
        mean = torch.einsum("b t k, b t d -> k d", p, d) / weight.clamp(min=SMALLEST_WEIGHT)
        self.centroids += AVERAGING * weight.clamp(max=1) * (mean - self.centroids)


def between(states: Gaussian) -> Gaussian:
    """d_t = e_{t+1} - e_t of independent e_t: means are subtracted, variances added."""
    mean, log_variance = states
    return Gaussian(mean[:, 1:] - mean[:, :-1], torch.logaddexp(log_variance[:, 1:], log_variance[:, :-1]))
