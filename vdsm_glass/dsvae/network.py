"""p(s) ∏_t p(z_t | z_{<t}) p(x_t | z_t, s), and q(s | x) q(z_{1:T} | x).  [Li and Mandt 2018, section 3]"""

from __future__ import annotations

from typing import Literal

import pyro
import pyro.distributions as dist
import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.vdsm.densities import (
    SLOPE,
    MixtureDecoder,
    NormalParameters,
    features_of,
    frame_convolutions,
    isotropic,
    split_normal,
)
from vdsm_glass.vdsm.frames import Latents
from vdsm_glass.vdsm.sequences import exact


class Prior(nn.Module):
    """p(z_t | z_{<t}): an LSTM that is fed the dynamics so far, and zeros before the first."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.cell = nn.LSTMCell(input_size=sizes.kappa_z, hidden_size=sizes.rnn_dim)
        self.head = nn.Linear(in_features=sizes.rnn_dim, out_features=2 * sizes.kappa_z)

    def forward(
        self, z_prev: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[NormalParameters, tuple[Tensor, Tensor]]:
        """Args: z_prev (b, z); state, of the LSTM, None before z_1.   Returns: loc, scale, each (b, z); the state."""
        hidden, cell = self.cell(z_prev, state)
        return split_normal(self.head(hidden)), (hidden, cell)


class Inference(nn.Module):
    """q(s | x_{1:T}) and q(z_t | x_{1:T}): a bi-LSTM over the frames' features, and an LSTM over what it says.

    s comes from the last state of either direction; with `single_element` from the first frame's features e_1 alone,
    and the bi-LSTM then reads e_t - e_1.  [DBSE]
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        features, hidden = sizes.encoder_channels[-1], sizes.rnn_dim
        self.single_element = sizes.single_element
        self.convolutions = frame_convolutions(sizes.frames)
        self.both_ways = nn.LSTM(input_size=features, hidden_size=hidden, bidirectional=True, batch_first=True)
        self.onwards = nn.LSTM(input_size=2 * hidden, hidden_size=hidden, batch_first=True)
        self.dynamic = nn.Linear(in_features=hidden, out_features=2 * sizes.kappa_z)
        self.static = nn.Sequential(
            nn.Linear(in_features=features if self.single_element else 2 * hidden, out_features=hidden),
            nn.LeakyReLU(negative_slope=SLOPE),
            nn.Linear(in_features=hidden, out_features=2 * sizes.kappa_s),
        )

    def forward(self, video: Tensor) -> tuple[NormalParameters, NormalParameters]:
        """Args: video (b, t, 3, h, w) in [0, 1].   Returns: of s, each (b, s); of z, each (b, t, z)."""
        features = features_of(video, self.convolutions)
        first = features[:, :1]
        read, (last, _) = self.both_ways(features - first if self.single_element else features)
        whole = first[:, 0] if self.single_element else rearrange(last, "n b r -> b (n r)")
        return split_normal(self.static(whole)), split_normal(self.dynamic(self.onwards(read)[0]))


class DSVAE(nn.Module):
    """p(s) ∏_t p(z_t | z_{<t}) p(x_t | z_t, s), with q(s | x_{1:T}) ∏_t q(z_t | x_{1:T}).

    What VDSM calls d, all that is known of the motion, is here the whole of z_{1:T}, frame after frame, (b, t z).
    """

    fitted: None = None
    """Where VDSM has a density that is fitted to training clips."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Inference(sizes)
        self.decoder = MixtureDecoder(sizes.frames)
        self.prior = Prior(sizes)

    @property
    def frames(self) -> DSVAE:
        """This network, where VDSM's second stage has its first."""
        return self

    def decode(self, z: Tensor, s: Tensor) -> Tensor:
        """E[x_t | z_t, s].  Args: z (b, t, z); s (b, s).   Returns: (b, t, 3, h, w) in [0, 1]."""
        return torch.sigmoid(self.decoder(z, s))

    def encode(self, video: Tensor) -> Latents:
        """The means of q(s | x) and q(z_t | x), these also as d.  Args: video (b, t, 3, h, w) in [0, 1]."""
        s, z = self.encoder(video)
        return Latents(s=s.loc, z=z.loc, d=rearrange(z.loc, "b t z -> b (t z)"))

    def dynamics(self, video: Tensor) -> Tensor:
        """The means of q(z_t | x), (b, t z).  Args: video (b, t, 3, h, w) in [0, 1]."""
        return rearrange(self.encoder(video)[1].loc, "b t z -> b (t z)")

    def model(self, video: Tensor) -> None:
        """p(s) ∏_t p(z_t | z_{<t}) p(x_t | z_t, s), s ~ N(0, I).  Args: video (b, t, 3, h, w) in [0, 1]."""
        b, steps = video.shape[:2]
        with pyro.plate("sequences", b, dim=-1):
            s = pyro.sample("s", isotropic(video, size=self.sizes.kappa_s).distribution())
            z, state = [self.z_0(video)], None
            with exact(video):
                for t in range(1, steps + 1):
                    p, state = self.prior(z[-1], state)
                    z.append(pyro.sample(f"z_{t}", p.distribution()))
            logits = self.decoder(torch.stack(z[1:], dim=1), s)
            pyro.sample("x", dist.Bernoulli(logits=logits, validate_args=False).to_event(4), obs=video)

    def guide(self, video: Tensor) -> None:
        """q(s | x_{1:T}) ∏_t q(z_t | x_{1:T}).  Args: video (b, t, 3, h, w) in [0, 1]."""
        self.guess(*self.encoder(video))

    def guess(self, s: NormalParameters, z: NormalParameters) -> None:
        """The guide of what was inferred.  Args: s, each (b, s); z, each (b, t, z)."""
        b, steps = z.loc.shape[:2]
        with pyro.plate("sequences", b, dim=-1):
            pyro.sample("s", s.distribution())
            for t in range(1, steps + 1):
                pyro.sample(f"z_{t}", NormalParameters(z.loc[:, t - 1], z.scale[:, t - 1]).distribution())

    def z_0(self, like: Tensor) -> Tensor:
        """What the prior is fed before the first z: zeros (b, z).  Args: like (b, ...)."""
        return like.new_zeros(like.shape[0], self.sizes.kappa_z)

    def advance(self, z: Tensor, *, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """z_{1:t}, then the prior's means, or samples if a generator is given, cut to `steps`.

        Args: z (b, t, z), t may be 0.   Returns: (b, steps, z).
        """
        made, state, previous = list(z[:, :steps].unbind(dim=1)), None, self.z_0(z)
        for t in range(steps):
            p, state = self.prior(previous, state)
            if t == len(made):
                made.append(p.loc if generator is None else p.draw(generator))
            previous = made[t]
        return torch.stack(made, dim=1)

    def rollout(
        self,
        d: Tensor,
        *,
        steps: int,
        dynamics: Literal["posterior", "prior"] = "posterior",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The dynamics that were inferred, and the prior after them; `prior` keeps only z_1 of them.

        Args: d (b, t z).   Returns: (b, steps, z).
        """
        z = rearrange(d, "b (t z) -> b t z", z=self.sizes.kappa_z)
        return self.advance(z if dynamics == "posterior" else z[:, :1], steps=steps, generator=generator)

    def sample_identity(self, count: int, generator: torch.Generator) -> Tensor:
        """s ~ N(0, I).  Args: generator, on the network's device.   Returns: (count, s)."""
        return isotropic(self.prior.head.bias.expand(count, -1), size=self.sizes.kappa_s).draw(generator)

    def sample_poses(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """z_t ~ p(z_t | z_{<t}).  Args: generator, on the network's device.   Returns: (count, steps, z)."""
        nothing = self.prior.head.bias.new_empty(count, 0, self.sizes.kappa_z)
        return self.advance(nothing, steps=steps, generator=generator)
