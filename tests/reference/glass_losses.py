"""Eqs. (1)-(11) of GLASS written out: one clip, one frame and one pixel after the other, in NumPy."""

from __future__ import annotations

import numpy as np

Video = np.ndarray  # (b, t, c, h, w)


def pixels(video: Video):
    """Every (clip, frame, row, column)."""
    b, t, _, h, w = video.shape
    return np.ndindex(b, t, h, w)


def binarisation(m: Video) -> float:
    """Eq. (1)."""
    return float(np.mean([min(m[i, t, 0, y, x], 1 - m[i, t, 0, y, x]) for i, t, y, x in pixels(m)]))


def size(m: Video, theta: float) -> float:
    """Eq. (2)."""
    return float(np.mean([abs(m[i, t].mean() - theta) for i, t in np.ndindex(m.shape[:2])]))


def halved(picture: np.ndarray) -> np.ndarray:
    """(c, h, w) -> (c, h // 2, w // 2), means of 2x2 squares."""
    c, h, w = picture.shape
    small = np.zeros((c, h // 2, w // 2))
    for k, y, x in np.ndindex(small.shape):
        small[k, y, x] = picture[k, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
    return small


def foreground(f_next: Video, f_moved: Video, levels: int) -> float:
    """Eq. (3), on `levels` copies, each of half the size of the one before."""
    total = 0.0
    for _ in range(levels):
        total += float(np.mean((f_next - f_moved) ** 2))
        f_next, f_moved = (
            np.stack([[halved(frame) for frame in clip] for clip in video]) for video in (f_next, f_moved)
        )
    return total


def background(b_next: Video, b_moved: Video) -> float:
    """Eq. (4) without its perceptual part."""
    return float(np.mean([np.abs(b_next[i, t, :, y, x] - b_moved[i, t, :, y, x]) for i, t, y, x in pixels(b_next)]))


def joint(video: Video, f_moved: Video, m_moved: Video, b_moved: Video, *, weighted: bool) -> float:
    """Eq. (5); with `weighted`, each pixel times |I_{t+1} - I_t| + |Î_{t+1} - Î_t| + 0.001, where Î_1 is I_1."""
    errors = []
    for i, t, y, x in pixels(f_moved):
        covered = m_moved[i, t, 0, y, x]
        drawn = f_moved[i, t, :, y, x] * covered + b_moved[i, t, :, y, x] * (1 - covered)
        weight = 1.0
        if weighted:
            if t == 0:
                drawn_before = video[i, 0, :, y, x]
            else:
                before = m_moved[i, t - 1, 0, y, x]
                drawn_before = f_moved[i, t - 1, :, y, x] * before + b_moved[i, t - 1, :, y, x] * (1 - before)
            real = np.abs(video[i, t + 1, :, y, x] - video[i, t, :, y, x]).sum()
            weight = real + np.abs(drawn - drawn_before).sum() + 1e-3
        errors.append(weight * np.abs(drawn - video[i, t + 1, :, y, x]))
    return float(np.mean(errors))


def unsupervised_weight(f: Video, f_hat: Video) -> Video:
    """ω_UNS of Eq. (7) for frames 2..T; f̂_1 is f_1."""
    b, steps, _, h, w = f_hat.shape
    weight = np.zeros((b, steps, 1, h, w))
    for i, t, y, x in pixels(f_hat):
        before = f[i, 0, :, y, x] if t == 0 else f_hat[i, t - 1, :, y, x]
        weight[i, t, 0, y, x] = (
            np.abs(f[i, t, :, y, x] - f[i, t + 1, :, y, x]).sum() + np.abs(before - f_hat[i, t, :, y, x]).sum()
        )
    return weight


def aligned_weight(f_next: Video, f_moved: Video, f_hat: Video) -> Video:
    """ω_ALIGN of Eq. (9) for frames 2..T."""
    b, steps, _, h, w = f_hat.shape
    weight = np.zeros((b, steps, 1, h, w))
    for i, t, y, x in pixels(f_hat):
        real = f_next[i, t, :, y, x]
        weight[i, t, 0, y, x] = np.abs(f_moved[i, t, :, y, x] - real).sum() + np.abs(f_hat[i, t, :, y, x] - real).sum()
    return weight


def weighted(f_next: Video, f_hat: Video, weight: Video) -> float:
    """Eqs. (7) and (9) at one scale, given the weight."""
    return float(
        np.mean(
            [
                weight[i, t, 0, y, x] * np.abs(f_next[i, t, :, y, x] - f_hat[i, t, :, y, x])
                for i, t, y, x in pixels(f_hat)
            ]
        )
    )


def half(video: Video) -> Video:
    """Bilinear resizing to half the size: the mean of four pixels."""
    return np.stack([[halved(frame) for frame in clip] for clip in video])


def quarter(video: Video) -> Video:
    """Bilinear resizing to a quarter of the size: of each 4x4 square, the mean of the four pixels in its middle."""
    b, t, c, h, w = video.shape
    small = np.zeros((b, t, c, h // 4, w // 4))
    for i, j, k, y, x in np.ndindex(small.shape):
        small[i, j, k, y, x] = video[i, j, k, 4 * y + 1 : 4 * y + 3, 4 * x + 1 : 4 * x + 3].mean()
    return small
