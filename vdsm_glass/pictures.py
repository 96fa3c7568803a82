"""Grids and strips of frames, and files from them: PNG, GIF, MP4, curves, heat maps. All values are in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from data_modules.common.files import replacing

GAP = 2


def to_uint8(frames: Tensor) -> np.ndarray:
    """(..., c, h, w) in [0, 1] → (..., h, w, c) uint8."""
    pixels = (frames.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return rearrange(pixels.cpu(), "... c h w -> ... h w c").numpy()


def grid(cells: Tensor, *, gap: int = GAP) -> Tensor:
    """Cells in r rows of k on white.  Args: cells (r, k, ..., 3, h, w) in [0, 1].   Returns: (..., 3, H, W)."""
    padded = F.pad(cells, (gap, gap, gap, gap), value=1.0)
    return rearrange(padded, "r k ... c h w -> ... c (r h) (k w)")


def strip(video: Tensor, *, frames: int | None = None) -> Tensor:
    """A row for each sequence, time from left to right.

    Args: video (b, t, 3, h, w); frames, how many, evenly spread; all by default.   Returns: (3, H, W).
    """
    t = video.shape[1]
    chosen = torch.linspace(0, t - 1, min(frames or t, t)).round().long()
    return grid(video[:, chosen])


def with_margins(cells: Tensor, *, rows: Tensor, columns: Tensor) -> Tensor:
    """A grid's cells with a column of `rows` at their left and a row of `columns` above them; the corner is white.

    Args: cells (n, m, t, 3, h, w); rows (n, t, ...), columns (m, t, ...).   Returns: (n+1, m+1, t, 3, h, w).
    """
    body = torch.cat([rows.unsqueeze(dim=1), cells], dim=1)
    head = torch.cat([torch.ones_like(columns[:1]), columns]).unsqueeze(dim=0)
    return torch.cat([head, body], dim=0)


def enlarge(frames: Tensor, *, at_least: int) -> Tensor:
    """Frames enlarged by a whole factor, so that the shorter side has `at_least` pixels."""
    factor = max(1, -(-at_least // min(frames.shape[-2:])))
    return frames.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2)


def write_png(image: Tensor, path: Path) -> Path:
    """Writes (3, h, w) as a PNG."""
    with replacing(path) as temporary:
        Image.fromarray(to_uint8(image)).save(temporary)
    return path


def write_gif(video: Tensor, path: Path, *, fps: float = 8.0) -> Path:
    """Writes (t, 3, h, w) as an animated GIF that repeats without end."""
    frames = to_uint8(video)
    # One palette for all frames that is near every colour: median cut would drop a small green bob from a grid of red
    # ones. Colours are rounded to five bits first, because k-means takes seconds for those of a photograph.
    sample = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 4)]) & 0xF8 | 0x04)
    palette = sample.quantize(colors=255, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    first, *rest = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with replacing(path) as temporary:
        first.save(temporary, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    return path


def write_mp4(video: Tensor, path: Path, *, fps: int = 8) -> Path:
    """Writes (t, 3, h, w) as an H.264 MP4, which cannot hold the last row or column of odd sizes."""
    import av

    frames = to_uint8(video)
    frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    with replacing(path) as temporary, av.open(str(temporary), mode="w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def draw_curves(
    curves: Mapping[str, Sequence[float]],
    path: Path,
    *,
    across: str,
    positions: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Draws a small panel for each curve, three in a row.

    Args: curves, values by name; across, the label of the x axis; positions, the values' x by name; 0, 1, 2, ... by
    default.
    """
    from matplotlib.figure import Figure

    columns = min(len(curves), 3)
    rows = -(-len(curves) // 3)
    figure = Figure(figsize=(3.4 * columns, 2.4 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (name, values) in zip(panels, curves.items(), strict=False):
        axes.plot(positions[name] if positions else range(len(values)), values, color="#2b6cb0", linewidth=1.5)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(across)
        axes.grid(alpha=0.3)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path


def draw_heat_map(
    values: np.ndarray,
    path: Path,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    notes: Sequence[Sequence[str]],
    meaning: str,
    title: str,
) -> Path:
    """Draws a matrix in shades from dark, 0, to bright, 1, which are distinct in grey and to the colour-blind, too.

    Args: values (r, k), clipped to [0, 1]; rows, columns, their names; notes, (r, k) texts in the cells; meaning, the
    label of the shades.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 + 1.5 * len(columns), 1.2 + 1.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0, vmax=1, cmap="cividis")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize="medium", pad=10)
    for row, texts in enumerate(notes):
        for column, text in enumerate(texts):
            ink = "black" if values[row, column] > 0.5 else "white"
            axes.text(column, row, text, color=ink, ha="center", va="center")
    figure.colorbar(image, ax=axes, label=meaning, shrink=0.8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
