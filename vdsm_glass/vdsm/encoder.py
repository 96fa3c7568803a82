"""The frame encoder: q(s | x_{1:T}) and, in pretraining, q(z_t | x_t)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.layers.blur_pool import BlurPool2d
from vdsm_glass.vdsm.densities import NormalParameters, positive, split_normal
from vdsm_glass.vdsm.sizes import Sizes

SLOPE = 0.2


class Encoder(nn.Module):
    """Five 4x4 convolutions, blurred and halved between, then one head for pose and one for identity.

    [VDSM suppl. section 3; BlurPool: Zhang 2019]. The printed strides would shrink 64x64 to nothing; with stride 1 in
    the convolutions, all padded by 1 but the last, the halving is left to BlurPool: 64 → 32 → 16 → 8 → 4 → 1. The last
    has 256 outputs and not the printed 64, because FC(256, 128) follows. That layer and FC(128, 2 κ_s) would be one
    linear map without the LeakyReLU between them.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
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
        blocks += [
            nn.Conv2d(in_channels=channels, out_channels=features, kernel_size=4),
            nn.LeakyReLU(negative_slope=SLOPE),
            nn.Flatten(),
        ]
        self.convolutions = nn.Sequential(*blocks)
        self.pose = nn.Linear(in_features=features, out_features=2 * sizes.kappa_z)
        self.identity = nn.Sequential(
            nn.Linear(in_features=features, out_features=sizes.identity_dim),
            nn.LeakyReLU(negative_slope=SLOPE),
            nn.Linear(in_features=sizes.identity_dim, out_features=2 * sizes.kappa_s),
        )
        self.identity_loc = nn.Linear(in_features=sizes.kappa_s, out_features=sizes.kappa_s)
        self.identity_scale = nn.Linear(in_features=sizes.kappa_s, out_features=sizes.kappa_s)

    def forward(self, video: Tensor) -> tuple[NormalParameters, NormalParameters]:
        """q(s | x_{1:T}), its location and scale averaged over the frames, and q(z_t | x_t).

        Args: video (b, t, 3, h, w) in [0, 1].   Returns: s, each (b, s); z, each (b, t, z).
        """
        frames = rearrange(video, "b t c h w -> (b t) c h w")
        if frames.device.type == "cpu":
            # Convolutions and blurs take a tenth less time so; on a GPU this was not measured.
            frames = frames.contiguous(memory_format=torch.channels_last)
        features = rearrange(self.convolutions(frames), "(b t) c -> b t c", b=video.shape[0])
        loc, scale = self.identity(features).chunk(2, dim=-1)
        s = NormalParameters(
            loc=self.identity_loc(loc).float().mean(dim=1),
            scale=positive(self.identity_scale(scale)).mean(dim=1),
        )
        return s, split_normal(self.pose(features))
