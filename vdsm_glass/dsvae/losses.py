"""The terms that C-DSVAE adds to the ELBO.  [Bai et al. 2021, section 3]"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vdsm_glass.vdsm.contrast import info_nce
from vdsm_glass.vdsm.densities import NormalParameters
from vdsm_glass.vdsm.elbo import ElboWeights

TEMPERATURE = 0.5


@dataclass(frozen=True)
class DSVAEWeights(ElboWeights):
    """Weights of the ELBO's terms (`kl_d` has no term here), and of C-DSVAE's; a term of weight 0 is not computed.

    Args: contrast_s, contrast_z: `contrast` of either latent. mutual: `mutual_information` between them.
    """

    contrast_s: float = 0.0
    contrast_z: float = 0.0
    mutual: float = 0.0


def contrast(a: Tensor, b: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """-½ mean_i (log softmax_j(cos(a_i, b_j) / τ)_i + log softmax_j(cos(b_i, a_j) / τ)_i), the mean of both InfoNCE.

    Args: a, b (n, f), two views of n clips, row by row; the other rows are the negatives.   Returns: a scalar >= 0.
    """
    return info_nce(F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature)


def mutual_information(s: Tensor, z: Tensor, q_s: NormalParameters, q_z: NormalParameters) -> Tensor:
    """I(s; z_{1:T}) by minibatch weighted sampling: mean_i log q(s_i, z_i) - log q(s_i) - log q(z_i), nats.

    q(v_i) = 1/n Σ_j q(v_i | x_j), where z is all frames together.  [Chen et al. 2018, arXiv 1802.04942, appendix C]

    Args: s (n, s), z (n, t, z), samples of q_s and q_z, whose parameters have the same shapes.   Returns: a scalar.
    """
    log_s = pairwise(s, q_s)
    log_z = pairwise(rearrange(z, "n t z -> n (t z)"), NormalParameters(*(p.flatten(start_dim=1) for p in q_z)))
    joint = torch.logsumexp(log_s + log_z, dim=1)
    return (joint - torch.logsumexp(log_s, dim=1) - torch.logsumexp(log_z, dim=1) + math.log(len(s))).mean()


def pairwise(value: Tensor, q: NormalParameters) -> Tensor:
    """log N(value_i; loc_j, scale_j²).  Args: value (n, f); q, each (n, f).   Returns: (n, n), row i, column j."""
    return torch.distributions.Normal(q.loc, q.scale, validate_args=False).log_prob(value[:, None]).sum(dim=-1)


def same_content(video: Tensor) -> Tensor:
    """Every clip's frames in an order of its own, which keeps what is seen, not how it moves: (b, t, 3, h, w)."""
    order = torch.rand(video.shape[:2], device=video.device).argsort(dim=1)
    return video.gather(dim=1, index=order[:, :, None, None, None].expand_as(video))


def same_motion(video: Tensor) -> Tensor:
    """Every clip in other colours and blurred, the same in all its frames, which keeps how it moves.

    Colours are permuted, then each is scaled by 0.6 to 1.4; a Gaussian of σ 0.1 to 1 pixel at 32 x 32 blurs it.

    Args: video (b, t, 3, h, w) in [0, 1].   Returns: the same.
    """
    b, t = video.shape[:2]
    order = torch.rand(b, 1, 3, 1, 1, device=video.device).argsort(dim=2)
    scale = torch.empty(b, 1, 3, 1, 1, device=video.device).uniform_(0.6, 1.4)
    recoloured = video.gather(dim=2, index=order.expand_as(video)) * scale
    sigma = torch.empty(b, 1, device=video.device).uniform_(0.1, 1.0) * video.shape[-1] / 32
    reach = torch.arange(-3, 4, device=video.device)
    taps = torch.softmax(-(reach**2) / (2 * sigma**2), dim=1)
    planes = rearrange(recoloured, "b t c h w -> (t c) b h w")
    planes = F.conv2d(F.pad(planes, (3, 3, 0, 0), mode="replicate"), taps[:, None, None, :], groups=b)
    planes = F.conv2d(F.pad(planes, (0, 0, 3, 3), mode="replicate"), taps[:, None, :, None], groups=b)
    return rearrange(planes, "(t c) b h w -> b t c h w", t=t).clamp(0, 1)
