"""Eq. (4) as it reads: one sequence after the other, one frame after the other, every density written out.

Slow and obvious; the oracle of the tests and the baseline of the benchmark. The latents are given, so that both sides
are evaluated at the same sample.
"""

import torch
from torch import Tensor

from tests.reference.mixture_decoder import mixture_decoder
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM


def kl_normal(q: tuple[Tensor, Tensor], p: tuple[Tensor | float, Tensor | float]) -> Tensor:
    """KL(N(m, σ²) || N(μ, ς²)), summed: log ς/σ + (σ² + (m - μ)²) / 2ς² - ½."""
    (m, sigma), (mu, varsigma) = q, p
    mu, varsigma = torch.as_tensor(mu), torch.as_tensor(varsigma)
    return (varsigma.log() - sigma.log() + (sigma**2 + (m - mu) ** 2) / (2 * varsigma**2) - 0.5).sum()


def reconstruction(net: FrameVDSM, video: Tensor, z: Tensor, s: Tensor) -> Tensor:
    """-Σ x log p + (1 - x) log(1 - p) of one sequence.  Args: video (t, 3, h, w); z (t, z); s (s,)."""
    mixture = torch.exp(net.tau_s * s) / torch.exp(net.tau_s * s).sum()
    weights = [layer.weight.permute(0, 4, 3, 1, 2) for layer in net.decoder.layers]
    logits = mixture_decoder(z[None], mixture[None], weights, [layer.bias for layer in net.decoder.layers])[0]
    return (torch.nn.functional.softplus(logits) - video * logits).sum()


def frame_terms(net: FrameVDSM, video: Tensor, s: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Stage 1's terms, nats per sequence.  Args: video (b, t, 3, h, w); samples s (b, s), z (b, t, z)."""
    terms = {name: torch.zeros(()) for name in ("reconstruction", "kl_z", "kl_s")}
    for n in range(len(video)):
        q_s, q_z = net.encoder(video[n : n + 1])
        terms["kl_s"] = terms["kl_s"] + kl_normal((q_s.loc[0], q_s.scale[0]), (0.0, 1 / net.sizes.kappa_s))
        for t in range(video.shape[1]):
            terms["kl_z"] = terms["kl_z"] + kl_normal((q_z.loc[0, t], q_z.scale[0, t]), (0.0, 1.0))
        terms["reconstruction"] = terms["reconstruction"] + reconstruction(net, video[n], z[n], s[n])
    return {name: value / len(video) for name, value in terms.items()}


def sequence_terms(net: SequenceVDSM, video: Tensor, s: Tensor, d: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Stage 2's terms, nats per sequence.  Args: video (b, t, 3, h, w); samples s (b, s), d (b, d), z (b, t, z)."""
    terms = {name: torch.zeros(()) for name in ("reconstruction", "kl_z", "kl_s", "kl_d")}
    for n in range(len(video)):
        q_s, poses = net.frames.encoder(video[n : n + 1])
        terms["kl_s"] = terms["kl_s"] + kl_normal((q_s.loc[0], q_s.scale[0]), (0.0, 1 / net.sizes.kappa_s))
        q_d = net.dynamics_encoder(poses.loc)
        terms["kl_d"] = terms["kl_d"] + kl_normal((q_d.loc[0], q_d.scale[0]), (0.0, 1 / net.sizes.kappa_d))
        h = net.dynamics_decoder(d[n : n + 1], steps=video.shape[1])
        z_prev = net.combiner.z_0[None]
        for t in range(video.shape[1]):
            q_z = net.combiner(z_prev, net.combiner.drive(h[:, t : t + 1], d[n : n + 1])[:, 0])
            p_z = net.transition(z_prev, d[n : n + 1]) if t else (0.0, 1.0)
            terms["kl_z"] = terms["kl_z"] + kl_normal((q_z[0][0], q_z[1][0]), (p_z[0], p_z[1]))
            z_prev = z[n : n + 1, t]
        terms["reconstruction"] = terms["reconstruction"] + reconstruction(net.frames, video[n], z[n], s[n])
    return {name: value / len(video) for name, value in terms.items()}


def gated_transition(weights: dict[str, Tensor], z: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """p(z_t | z_{t-1}, d) for one pair z (z,), d (d,), from the layers' weights by their names."""

    def linear(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    both = torch.cat([z, d])
    g = 1 / (1 + torch.exp(-linear("gate.2", torch.relu(linear("gate.0", both)))))
    m = linear("proposal.2", torch.relu(linear("proposal.0", both)))
    loc = (1 - g) * linear("keep", z) + g * m
    return loc, torch.log1p(torch.exp(linear("scale", torch.relu(m)))) + 1e-4
