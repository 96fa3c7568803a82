"""The densities of VDSM in the order of its story: first the model p, then the guide q.  [VDSM suppl. section 3]

    s ~ p(s),  d ~ p(d),  z_1 ~ p(z_1),  z_t ~ p(z_t | z_{t-1}, d),  x_t ~ p(x_t | z_t, s)

`frames.py` and `sequences.py` put them together into the Pyro models of the two stages.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from vdsm_glass.layers.blur_pool import BlurPool2d
from vdsm_glass.layers.mixture_conv import MixtureConvTranspose2d
from vdsm_glass.vdsm.sizes import Sizes

SLOPE = 0.2
SMALLEST_SCALE = 1e-4


class NormalParameters(NamedTuple):
    """Location and scale, of one shape; scale > 0."""

    loc: Tensor
    scale: Tensor

    def distribution(self, event_dims: int = 1) -> dist.TorchDistribution:
        """N(loc, scale²), the last `event_dims` dimensions being one event."""
        return dist.Normal(loc=self.loc, scale=self.scale).to_event(event_dims)

    def draw(self, generator: torch.Generator) -> Tensor:
        """One sample from the generator, which is on the parameters' device."""
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return self.loc + self.scale * noise


def positive(raw: Tensor) -> Tensor:
    """softplus(raw) + 1e-4, in float32: bfloat16 would round a small scale to 0, and its log would be -inf."""
    return F.softplus(raw.float()) + SMALLEST_SCALE


def split_normal(raw: Tensor) -> NormalParameters:
    """The halves of `raw` (..., 2n) as location and scale, each (..., n)."""
    loc, scale = raw.chunk(2, dim=-1)
    return NormalParameters(loc=loc.float(), scale=positive(scale))


# The model.


def isotropic(like: Tensor, *, size: int, scale: float = 1.0) -> NormalParameters:
    """p(s), p(d) and p(z_1): mean 0, standard deviation `scale` in each of `size` dimensions.

    Args: like (b, ...), for batch size and device.   Returns: loc, scale, each (b, size) float32.
    """
    loc = torch.zeros(like.shape[0], size, device=like.device)
    return NormalParameters(loc=loc, scale=torch.full_like(loc, scale))


class FirstPose(nn.Module):
    """p(z_1 | d): loc = W d + b, scale = softplus(W' d + b'). It begins as the paper's N(0, I), and is ours."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.head = nn.Linear(in_features=sizes.kappa_d, out_features=2 * sizes.kappa_z)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[sizes.kappa_z :], math.log(math.e - 1))

    def forward(self, d: Tensor) -> NormalParameters:
        """Args: d (b, d).   Returns: loc, scale, each (b, z); scale > 0."""
        return split_normal(self.head(d))


class GatedTransition(nn.Module):
    """p(z_t | z_{t-1}, d), how a pose follows a pose.  [VDSM suppl. section 3; Krishnan et al. 2017, Eq. (10)]

    With `sizes.transition_memory`, ours and not the paper's, it is p(z_t | z_1, ..., z_{t-1}, d): a GRU, which begins
    from d, remembers the poses so far. A pose is that of one frame, and does not tell which way its figure moves.
    [as the deterministic path of Hafner et al. 2019, "Learning latent dynamics for planning from pixels"]
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.gate = self._mlp(sizes)
        self.proposal = self._mlp(sizes)
        self.keep = nn.Linear(in_features=sizes.kappa_z, out_features=sizes.kappa_z)
        self.scale = nn.Linear(in_features=sizes.kappa_z, out_features=sizes.kappa_z)
        # What the gate does not replace starts out unchanged.  [Krishnan et al. 2017, section 5]
        nn.init.eye_(self.keep.weight)
        nn.init.zeros_(self.keep.bias)
        self.memory = PoseMemory(sizes) if sizes.transition_memory else None

    @staticmethod
    def _mlp(sizes: Sizes) -> nn.Sequential:
        seen = sizes.kappa_z + sizes.kappa_d + sizes.transition_memory
        return nn.Sequential(
            nn.Linear(in_features=seen, out_features=sizes.transition_dim),
            nn.ReLU(),
            nn.Linear(in_features=sizes.transition_dim, out_features=sizes.kappa_z),
        )

    def forward(self, z_prev: Tensor, d: Tensor, memory: Tensor | None = None) -> NormalParameters:
        """g = σ(MLP), m = MLP, loc = (1 - g)(W z) + g m, scale = softplus(W' ReLU(m)).

        Args: z_prev (b, z) previous pose; d (b, d) dynamics; memory (b, memory) of all poses before, where it is kept.
        Returns: loc, scale, each (b, z); scale > 0.
        """
        both = torch.cat([z_prev, d] if memory is None else [z_prev, d, memory], dim=-1)
        g = torch.sigmoid(self.gate(both))
        m = self.proposal(both)
        loc = (1 - g) * self.keep(z_prev) + g * m
        return NormalParameters(loc=loc.float(), scale=positive(self.scale(torch.relu(m))))

    def begin(self, d: Tensor) -> Tensor | None:
        """The memory before the first pose.  Args: d (b, d)."""
        return None if self.memory is None else torch.tanh(self.memory.first(d))

    def remember(self, z: Tensor, memory: Tensor | None) -> Tensor | None:
        """The memory after one more pose.  Args: z (b, z)."""
        return None if self.memory is None else self.memory.cell(z, memory)


class PoseMemory(nn.Module):
    """The parts of `GatedTransition` that remember."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.first = nn.Linear(in_features=sizes.kappa_d, out_features=sizes.transition_memory)
        self.cell = nn.GRUCell(input_size=sizes.kappa_z, hidden_size=sizes.transition_memory)


class MixtureDecoder(nn.Module):
    """p(x_t | z_t, s) by κ_s decoders whose weights and biases are blended by s̃, once per sequence.

    W(s̃) = Σ_k s̃_k W_k; the input is [z_t ; s̃]; 4x4 transposed convolutions of (stride, padding) (1, 0), then (2, 1).
    With `single_decoder` (section 6) there is one expert, and s̃ is an input only.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = [sizes.kappa_z + sizes.kappa_s, *sizes.decoder_channels, 3]
        self.single = sizes.single_decoder
        self.layers = nn.ModuleList(
            MixtureConvTranspose2d(
                experts=1 if self.single else sizes.kappa_s,
                in_channels=inputs,
                out_channels=outputs,
                kernel_size=4,
                stride=1 if depth == 0 else 2,
                padding=0 if depth == 0 else 1,
            )
            for depth, (inputs, outputs) in enumerate(pairwise(widths))
        )

    def forward(self, z: Tensor, mixture: Tensor) -> Tensor:
        """Logits of p(x_t | z_t, s): every pixel is a Bernoulli.

        Args: z (b, t, z) poses; mixture (b, s), s̃ on the simplex.   Returns: (b, t, 3, h, w) float32 logits.
        """
        blend = torch.ones_like(mixture[:, :1]) if self.single else mixture
        x = torch.cat([z, repeat(mixture, "b s -> b t s", t=z.shape[1])], dim=-1)
        x = rearrange(x, "b t c -> b t c 1 1")
        last = len(self.layers) - 1
        for depth, layer in enumerate(self.layers):
            x = layer(x, blend)
            if depth < last:
                x = F.leaky_relu(x, negative_slope=SLOPE)
        return x.float()


class MixtureLogits(nn.Module):
    """g(κ_s s) / √m, which is added to τ_s s: s̃ is the softmax of the sum. g is 0 at first.

    Ours, with m = `sizes.mixture_dim` hidden units. In the paper there is no g: the decoder's weights are nearly linear
    in s, and what s tells in no linear way is drawn in between. g sees s with the prior's variance made 1.
    Without √m, one step changes s̃ the more the wider g is, and wide ones learn worse than none.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        first = nn.Linear(in_features=sizes.kappa_s, out_features=sizes.mixture_dim)
        last = nn.Linear(in_features=sizes.mixture_dim, out_features=sizes.kappa_s)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.further = nn.Sequential(first, nn.LeakyReLU(negative_slope=SLOPE), last)

    def forward(self, s: Tensor) -> Tensor:
        """Args: s (b, s).   Returns: (b, s)."""
        return self.further(self.sizes.kappa_s * s) / self.sizes.mixture_dim**0.5


# The guide.


def frame_convolutions(sizes: Sizes) -> nn.Sequential:
    """4x4 convolutions with BlurPool between them: (n, 3, h, w) -> (n, sizes.encoder_channels[-1])."""
    *halving, features = sizes.encoder_channels
    blocks: list[nn.Module] = []
    channels, size = 3, sizes.frame_size
    for width in halving:
        blocks += [
            nn.Conv2d(in_channels=channels, out_channels=width, kernel_size=4, padding=1),
            nn.LeakyReLU(negative_slope=SLOPE),
            BlurPool2d(size=size - 1, taps=4),
        ]
        channels, size = width, size // 2
    last = nn.Conv2d(in_channels=channels, out_channels=features, kernel_size=4)
    return nn.Sequential(*blocks, last, nn.LeakyReLU(negative_slope=SLOPE), nn.Flatten())


def features_of(video: Tensor, convolutions: nn.Module) -> Tensor:
    """What `frame_convolutions` gives for every frame.  Args: video (b, t, 3, h, w).   Returns: (b, t, features)."""
    frames = rearrange(video, "b t c h w -> (b t) c h w")
    if frames.device.type == "cpu":
        # Convolutions and blurs take a tenth less time so; on a GPU this was not measured.
        frames = frames.contiguous(memory_format=torch.channels_last)
    return rearrange(convolutions(frames), "(b t) c -> b t c", b=video.shape[0])


class Encoder(nn.Module):
    """q(s | x_{1:T}) and q(z_t | x_t): 4x4 convolutions with BlurPool between them, then one head for each.

    [VDSM suppl. section 3; BlurPool: Zhang 2019]. The printed strides would shrink 64x64 to nothing. Here convolutions
    have stride 1, all but the last padding 1, and BlurPool halves: 64 → 32 → 16 → 8 → 4 → 1. The last convolution has
    256 outputs, not the printed 64, because FC(256, 128) follows it. A LeakyReLU stands between that layer and
    FC(128, 2 κ_s), which would otherwise be one linear map. Nothing stands between that one and `identity_loc` and
    `identity_scale`, which therefore add no function that it lacks.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.convolutions = frame_convolutions(sizes)
        features = sizes.encoder_channels[-1]
        self.pose = nn.Linear(in_features=features, out_features=2 * sizes.kappa_z)
        self.identity = nn.Sequential(
            nn.Linear(in_features=features, out_features=sizes.identity_dim),
            nn.LeakyReLU(negative_slope=SLOPE),
            nn.Linear(in_features=sizes.identity_dim, out_features=2 * sizes.kappa_s),
        )
        self.identity_loc = nn.Linear(in_features=sizes.kappa_s, out_features=sizes.kappa_s)
        self.identity_scale = nn.Linear(in_features=sizes.kappa_s, out_features=sizes.kappa_s)
        self.identity_convolutions = frame_convolutions(sizes) if sizes.identity_encoder else None

    def forward(
        self, video: Tensor, *, identity_frames: int | None = None
    ) -> tuple[NormalParameters, NormalParameters]:
        """q(s | x_{1:T}), its location and scale averaged over the frames, and q(z_t | x_t).

        Args: video (b, t, 3, h, w) in [0, 1]; identity_frames, how many of the first frames s is inferred from, by
        default all.   Returns: s, each (b, s); z, each (b, t, z).
        """
        features = features_of(video, self.convolutions)
        if self.identity_convolutions is None:
            s = self._identity(features[:, :identity_frames])
        else:
            s = self.identity_of(video[:, :identity_frames])
        return s, split_normal(self.pose(features))

    def poses_of(self, video: Tensor) -> NormalParameters:
        """q(z_t | x_t) alone.  Args: video (b, t, 3, h, w) in [0, 1].   Returns: each (b, t, z)."""
        return split_normal(self.pose(features_of(video, self.convolutions)))

    def identity_of(self, video: Tensor) -> NormalParameters:
        """q(s | x_{1:T}) alone.  Args: video (b, t, 3, h, w) in [0, 1].   Returns: each (b, s)."""
        return self._identity(features_of(video, self.identity_convolutions or self.convolutions))

    def _identity(self, features: Tensor) -> NormalParameters:
        loc, scale = self.identity(features).float().chunk(2, dim=-1)
        # `IdentityContrast` may have put large weights here, whose sums would be all rounding in bfloat16.
        with torch.autocast(device_type=features.device.type, enabled=False):
            return NormalParameters(
                loc=self.identity_loc(loc).mean(dim=1), scale=positive(self.identity_scale(scale)).mean(dim=1)
            )

    def fix_identity(self, fixed: bool) -> None:
        """Whether what infers s, and nothing else does, takes no gradient."""
        own = (self.identity, self.identity_loc, self.identity_scale, self.identity_convolutions)
        for part in own:
            if part is not None:
                part.requires_grad_(not fixed)


class DynamicsEncoder(nn.Module):
    """q(d | x_{1:T}): the last states of all layers and directions of a bi-LSTM over the poses give d.

    [VDSM suppl. section 3, "Dynamics Layer"]
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        states = 2 * sizes.rnn_layers
        self.rnn = nn.LSTM(
            input_size=sizes.kappa_z,
            hidden_size=sizes.rnn_dim,
            num_layers=sizes.rnn_layers,
            bidirectional=True,
            batch_first=True,
        )
        self.first_state = nn.Parameter(torch.zeros(2, states, sizes.rnn_dim))
        self.head = nn.Linear(in_features=states * sizes.rnn_dim, out_features=2 * sizes.kappa_d)

    def forward(self, z: Tensor) -> NormalParameters:
        """Args: z (b, t, z), the locations of q(z_t | x_t).   Returns: loc and scale of d, each (b, d)."""
        h_0, c_0 = repeat(self.first_state, "two n r -> two n b r", b=z.shape[0]).contiguous()
        _, (h_n, _) = self.rnn(z, (h_0, c_0))
        return split_normal(self.head(rearrange(h_n, "n b r -> b (n r)")))


class DynamicsDecoder(nn.Module):
    """h_t: an LSTM that starts from d and is fed its own output.  [VDSM suppl. section 3]

    The supplementary's FC(RNN_dim x 2, 2 κ_z) takes twice the width of a one-directional LSTM. Its input here is the
    last layer's hidden and cell state, side by side. What is fed back is its output h_t, not the LSTM's whole output.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = sizes.rnn_layers
        self.state = nn.Linear(in_features=sizes.kappa_d, out_features=2 * sizes.rnn_layers * sizes.rnn_dim)
        self.first_input = nn.Parameter(torch.zeros(2 * sizes.kappa_z))
        self.rnn = nn.LSTM(
            input_size=2 * sizes.kappa_z, hidden_size=sizes.rnn_dim, num_layers=sizes.rnn_layers, batch_first=True
        )
        self.output = nn.Linear(in_features=2 * sizes.rnn_dim, out_features=2 * sizes.kappa_z)

    def forward(self, d: Tensor, steps: int) -> Tensor:
        """Args: d (b, d); steps, how many frames.   Returns: h (b, t, 2 z), a function of d alone."""
        h, hidden, cell = self.begin(d)
        unfolded = []
        for _ in range(steps):
            h, hidden, cell = self.step(h, hidden, cell)
            unfolded.append(h)
        return torch.cat(unfolded, dim=1)

    def begin(self, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Before the first frame: h_0 (b, 1, 2 z), hidden and cell (layers, b, rnn).  Args: d (b, d)."""
        state = rearrange(self.state(d), "b (two n r) -> two n b r", two=2, n=self.layers).contiguous()
        return repeat(self.first_input, "h -> b 1 h", b=d.shape[0]), state[0], state[1]

    def step(self, h: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next h, hidden and cell.  Args: as `begin` gives them."""
        _, (hidden, cell) = self.rnn(h, (hidden, cell))
        return self.output(torch.cat([hidden[-1], cell[-1]], dim=-1)).unsqueeze(dim=1), hidden, cell


class Combiner(nn.Module):
    """q(z_t | z_{t-1}, h_t, d), where the previous pose meets the dynamics.  [VDSM suppl. 3; Krishnan et al. 2017]"""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pose = nn.Linear(in_features=sizes.kappa_z, out_features=sizes.combiner_dim)
        self.dynamics = nn.Linear(in_features=2 * sizes.kappa_z + sizes.kappa_d, out_features=sizes.combiner_dim)
        self.head = nn.Linear(in_features=sizes.combiner_dim, out_features=2 * sizes.kappa_z)
        self.z_0 = nn.Parameter(torch.zeros(sizes.kappa_z))

    def drive(self, h: Tensor, d: Tensor) -> Tensor:
        """LeakyReLU(W_h [h_t ; d]) for all t at once, because no pose enters it.

        Args: h (b, t, 2 z); d (b, d).   Returns: (b, t, hidden).
        """
        d = d.unsqueeze(dim=1).expand(-1, h.shape[1], -1)
        return F.leaky_relu(self.dynamics(torch.cat([h, d], dim=-1)), negative_slope=SLOPE)

    def forward(self, z_prev: Tensor, drive: Tensor) -> NormalParameters:
        """q(z_t | z_{t-1}, h_t, d), from ½ (tanh(W_z z_{t-1}) + LeakyReLU(W_h [h_t ; d])).

        Args: z_prev (b, z) previous pose, z_0 before the first; drive (b, hidden), one step of `drive`.
        Returns: loc, scale, each (b, z); scale > 0.
        """
        return split_normal(self.head((torch.tanh(self.pose(z_prev)) + drive) / 2))
