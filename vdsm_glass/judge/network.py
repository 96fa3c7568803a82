"""The judge's network: a convolutional encoder, a bi-LSTM over time, and a head for each kind of label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from einops import rearrange, reduce
from torch import Tensor, nn

SLOPE = 0.2
POOLED = 4


@dataclass(frozen=True)
class JudgeSizes:
    """Widths of the judge.

    Args: channels, outputs of the 4x4 convolutions, each of which halves the frame; rnn_dim, of the bi-LSTM.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256)
    rnn_dim: int = 256

    @property
    def smallest_frame(self) -> int:
        """The fewest pixels that a frame's sides can have."""
        return 2 ** len(self.channels)


class JudgeNetwork(nn.Module):
    """p(y | x_{1:T}), a categorical distribution for each head y.  Args: sizes; classes, the number of each head."""

    def __init__(self, sizes: JudgeSizes, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = sizes
        blocks: list[nn.Module] = []
        inputs = 3
        for width in sizes.channels:
            blocks += [
                nn.Conv2d(in_channels=inputs, out_channels=width, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(num_features=width),
                nn.LeakyReLU(negative_slope=SLOPE),
            ]
            inputs = width
        # A 4x4 map, whatever the frame's size, because labels depend on where things are.
        self.encoder = nn.Sequential(
            *blocks,
            nn.AdaptiveAvgPool2d(output_size=POOLED),
            nn.Flatten(),
            nn.Linear(in_features=POOLED**2 * inputs, out_features=sizes.rnn_dim),
            nn.LeakyReLU(negative_slope=SLOPE),
        )
        self.rnn = nn.LSTM(input_size=sizes.rnn_dim, hidden_size=sizes.rnn_dim, bidirectional=True, batch_first=True)
        self.heads = nn.ModuleDict(
            {head: nn.Linear(in_features=2 * sizes.rnn_dim, out_features=count) for head, count in classes.items()}
        )

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """Logits by head, each (b, classes).  Args: video (b, t, 3, h, w) in [0, 1], of any t and size."""
        features = self.encoder(rearrange(video, "b t c h w -> (b t) c h w"))
        states, _ = self.rnn(rearrange(features, "(b t) f -> b t f", b=len(video)))
        clip = reduce(states, "b t f -> b f", "mean")
        return {name: head(clip) for name, head in self.heads.items()}
