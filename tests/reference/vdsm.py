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
    logits = net.tau_s * s
    if net.mixture_logits is not None:
        first, _, last = net.mixture_logits.further
        hidden = first.weight @ (net.sizes.kappa_s * s) + first.bias
        further = last.weight @ torch.where(hidden > 0, hidden, 0.2 * hidden) + last.bias
        logits = logits + further / len(hidden) ** 0.5
    mixture = torch.exp(logits) / torch.exp(logits).sum()
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
        terms["kl_d"] = terms["kl_d"] + kl_dynamics(net, q_d.loc[0], q_d.scale[0], d[n])
        h = net.dynamics_decoder(d[n : n + 1], steps=video.shape[1])
        z_prev = net.combiner.z_0[None]
        for t in range(video.shape[1]):
            q_z = net.combiner(z_prev, net.combiner.drive(h[:, t : t + 1], d[n : n + 1])[:, 0])
            p_z = following_pose(net, z[n, :t], d[n]) if t else first_pose(net, d[n])
            terms["kl_z"] = terms["kl_z"] + kl_normal((q_z[0][0], q_z[1][0]), (p_z[0], p_z[1]))
            z_prev = z[n : n + 1, t]
        terms["reconstruction"] = terms["reconstruction"] + reconstruction(net.frames, video[n], z[n], s[n])
    return {name: value / len(video) for name, value in terms.items()}


def kl_dynamics(net: SequenceVDSM, loc: Tensor, scale: Tensor, d: Tensor) -> Tensor:
    """KL(q(d) || p(d)); for a mixture log q(d) - log p(d) at the sample.  Args: each (d,)."""
    kappa = net.sizes.kappa_d
    if net.motions is None:
        return kl_normal((loc, scale), (0.0, 1 / kappa))

    inverse = torch.linalg.inv(net.motions.root)
    densities = torch.zeros(())
    for share, mean in zip(net.motions.shares, net.motions.means, strict=True):
        unit = inverse @ (d - mean)
        densities = densities + share * torch.exp(-(unit @ unit) / 2) * torch.linalg.det(inverse)
    log_q = (-(((d - loc) / scale) ** 2) / 2 - torch.log(scale)).sum()  # (2π)^(-κ/2) is in both, and cancels
    return log_q - torch.log(densities)


def first_pose(net: SequenceVDSM, d: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """p(z_1) = N(0, I), or p(z_1 | d) for one d (d,)."""
    if net.first_pose is None:
        return 0.0, 1.0
    loc, raw = (net.first_pose.head.weight @ d + net.first_pose.head.bias).chunk(2)
    return loc, torch.log1p(torch.exp(raw)) + 1e-4


def following_pose(net: SequenceVDSM, past: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """p(z_t | z_{t-1}, d), or with a memory of all before, for one clip.  Args: past (t - 1, z); d (d,)."""
    weights, behind = dict(net.transition.named_parameters()), d
    if net.transition.memory is not None:
        h = torch.tanh(weights["memory.first.weight"] @ d + weights["memory.first.bias"])
        for z in past:
            h = gru(weights, "memory.cell", z, h)
        behind = torch.cat([d, h])
    return gated_transition(weights, past[-1], behind)


def gru(weights: dict[str, Tensor], name: str, x: Tensor, h: Tensor) -> Tensor:
    """r, u = σ(W x + b + U h + c), n = tanh(W x + b + r (U h + c)), h' = (1 - u) n + u h.  [Cho et al. 2014]"""
    of_x = (weights[f"{name}.weight_ih"] @ x + weights[f"{name}.bias_ih"]).chunk(3)
    of_h = (weights[f"{name}.weight_hh"] @ h + weights[f"{name}.bias_hh"]).chunk(3)
    r, u = (1 / (1 + torch.exp(-(a + b))) for a, b in zip(of_x[:2], of_h[:2], strict=True))
    return (1 - u) * torch.tanh(of_x[2] + r * of_h[2]) + u * h


def gated_transition(weights: dict[str, Tensor], z: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """p(z_t | z_{t-1}, d) for one z (z,) and d (d,), the memory behind it, from the layers' weights."""

    def linear(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    both = torch.cat([z, d])
    g = 1 / (1 + torch.exp(-linear("gate.2", torch.relu(linear("gate.0", both)))))
    m = linear("proposal.2", torch.relu(linear("proposal.0", both)))
    loc = (1 - g) * linear("keep", z) + g * m
    return loc, torch.log1p(torch.exp(linear("scale", torch.relu(m)))) + 1e-4


def lstm_layer(
    weights: dict[str, Tensor], name: str, inputs: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer, one direction: i, f, o = σ(W x + U h + b), g = tanh(the same), c' = f c + i g, h' = o tanh c'.

    Args: weights, an `nn.LSTM`'s by their names; name, what those of the layer end in, such as `l0_reverse`;
    inputs (t, n); state, h and c, each (r,).
    Returns: all h (t, r) in the order of `inputs`; the last h and c.
    """
    h, c = state
    outputs = []
    for x in inputs:
        gates = weights[f"weight_ih_{name}"] @ x + weights[f"bias_ih_{name}"]
        gates = gates + weights[f"weight_hh_{name}"] @ h + weights[f"bias_hh_{name}"]
        i, f, g, o = gates.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


def dynamics_encoder(weights: dict[str, Tensor], z: Tensor, *, layers: int) -> tuple[Tensor, Tensor]:
    """q(d | x) for the pose locations z (t, z) of one sequence, from the weights of `DynamicsEncoder` by name."""
    lstm = {name.removeprefix("rnn."): value for name, value in weights.items()}
    first_h, first_c = weights["first_state"]
    inputs, last = z, []
    for layer in range(layers):
        row = 2 * layer
        forward, h, _ = lstm_layer(lstm, f"l{layer}", inputs, (first_h[row], first_c[row]))
        start = (first_h[row + 1], first_c[row + 1])
        backward, h_back, _ = lstm_layer(lstm, f"l{layer}_reverse", inputs.flip(0), start)
        inputs = torch.cat([forward, backward.flip(0)], dim=-1)
        last += [h, h_back]
    loc, raw = (weights["head.weight"] @ torch.cat(last) + weights["head.bias"]).chunk(2)
    return loc, torch.log1p(torch.exp(raw)) + 1e-4


def dynamics_decoder(weights: dict[str, Tensor], d: Tensor, *, layers: int, steps: int) -> Tensor:
    """h_1 ... h_T (t, 2 z) of one d (d,), from the weights of `DynamicsDecoder` by name."""
    lstm = {name.removeprefix("rnn."): value for name, value in weights.items()}
    first = weights["state.weight"] @ d + weights["state.bias"]
    hidden, cell = (list(half.chunk(layers)) for half in first.chunk(2))
    x, unfolded = weights["first_input"], []
    for _ in range(steps):
        inputs = x[None]
        for layer in range(layers):
            inputs, hidden[layer], cell[layer] = lstm_layer(lstm, f"l{layer}", inputs, (hidden[layer], cell[layer]))
        x = weights["output.weight"] @ torch.cat([hidden[-1], cell[-1]]) + weights["output.bias"]
        unfolded.append(x)
    return torch.stack(unfolded)
