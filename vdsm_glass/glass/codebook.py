"""What a codebook needs besides its prototypes: who is nearest, how evenly they are used, where they start."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, distributed


def nearest(u: Tensor, codes: Tensor) -> Tensor:
    """argmin_k ‖c_k - u‖².  Args: u (n, code_size); codes (k, code_size).   Returns: (n,) int64."""
    # Differences, not the expanded square: it loses the digits that tell two close prototypes apart.
    return torch.cdist(u, codes, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)


def chosen(index: Tensor, k: int) -> Tensor:
    """(k,) float32: how often each of k actions occurs in `index` (n,)."""
    return F.one_hot(index, num_classes=k).sum(dim=0, dtype=torch.float32)


def usage(counts: Tensor) -> Tensor:
    """Shares p_k of the actions.  Args: counts (k,).   Returns: (k,), sum 1; all 0 where nothing was counted."""
    return counts / counts.sum().clamp(min=1)


def perplexity(counts: Tensor) -> Tensor:
    """exp(-Σ_k p_k log p_k): K where all actions are used alike, 1 where one is used.  Args: counts (k,)."""
    return torch.special.entr(usage(counts)).sum().exp()


def spread_seeds(points: Tensor, k: int) -> Tensor:
    """k distinct points, each drawn with probability proportional to its squared distance from those drawn before.

    [Arthur & Vassilvitskii 2007, k-means++.]  Where there are fewer distinct points, the rest are points moved a
    little at random.

    Args: points (n, d).   Returns: (k, d).
    """
    first = torch.randint(len(points), size=(1,), device=points.device)
    seeds = points[first]
    # Of two points closer than rounding the nearest-prototype rule would always choose the first.
    scale = points.std(dim=0, correction=0).norm().clamp(min=1e-3)
    while len(seeds) < k:
        squared = torch.cdist(points, seeds).amin(dim=1).square()
        if squared.amax() > (1e-4 * scale) ** 2:
            seed = points[torch.multinomial(squared, num_samples=1)]
        else:
            drawn = torch.randint(len(points), size=(1,), device=points.device)
            seed = points[drawn] + scale * 0.1 * torch.randn_like(points[drawn])
        seeds = torch.cat([seeds, seed])
    return seeds


def centres(points: Tensor, k: int, *, rounds: int = 20) -> Tensor:
    """k-means from `spread_seeds`: (n, d) -> (k, d). A seed that is nobody's nearest stays."""
    codes = spread_seeds(points, k)
    for _ in range(rounds):
        share = F.one_hot(nearest(points, codes), num_classes=k).to(points.dtype)
        counts = share.sum(dim=0)[:, None]
        codes = torch.where(counts > 0, share.T @ points / counts.clamp(min=1), codes)
    return codes


def several_processes() -> bool:
    """Whether other processes train the same model."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gathered(u: Tensor) -> Tensor:
    """The rows (n, d) of all processes, in order of their rank."""
    if not several_processes():
        return u
    parts = [torch.empty_like(u) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, u.contiguous())
    return torch.cat(parts)


def agreed(value: Tensor) -> Tensor:
    """What the first process has, on all of them."""
    if several_processes():
        value = value.contiguous()
        distributed.broadcast(value, src=0)
    return value
