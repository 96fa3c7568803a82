"""Time and agreement of the Fréchet distance against SciPy's matrix square root, at Inception's 2048 features.

    python -m benchmarks.frechet [--features 2048 --repeats 3 --threads 1]

Covariances are of samples whose features have standard deviations from 1 down to 0.01.
"""

import argparse
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import common
from vdsm_glass.metrics.frechet import frechet_distance

Gaussian = tuple[Tensor, Tensor]


def gaussian(*, samples: int, features: int, seed: int) -> Gaussian:
    """Mean and covariance of `samples` draws of correlated features, float64."""
    generator = torch.Generator().manual_seed(seed)
    scales = 10 ** (-2 * torch.arange(features, dtype=torch.float64) / features)
    mixing = torch.randn(features, features, dtype=torch.float64, generator=generator) / features**0.5
    x = torch.randn(samples, features, dtype=torch.float64, generator=generator) * scales @ mixing
    return x.mean(dim=0), torch.cov(x.T)


def by_square_root(first: Gaussian, second: Gaussian) -> float:
    """The definition, through the square root of the product."""
    (mean1, cov1), (mean2, cov2) = first, second
    root = scipy.linalg.sqrtm((cov1 @ cov2).numpy())
    return float((mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * np.trace(root).real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="CPU threads of torch; default: torch's own choice")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/frechet-cpu.json")
    args = parser.parse_args()
    device = torch.device("cpu")
    if args.threads:
        torch.set_num_threads(args.threads)
    columns = ("ours_s", "ours_cpu_s", "sqrtm_s", "sqrtm_cpu_s", "cpu_times_less", "relative_difference")
    shown = Table("samples", *columns, title=f"{args.features} features, medians")
    rows = []
    for samples in (2 * args.features, args.features // 4):
        first, second = (gaussian(samples=samples, features=args.features, seed=seed) for seed in range(2))
        values: dict[str, float] = {}

        def ours(first: Gaussian = first, second: Gaussian = second, values: dict[str, float] = values) -> None:
            values["ours"] = float(frechet_distance(*first, *second))

        def theirs(first: Gaussian = first, second: Gaussian = second, values: dict[str, float] = values) -> None:
            values["sqrtm"] = by_square_root(first, second)

        steps = {"ours": ours}
        if samples > args.features:  # of a singular product the square root may not exist
            steps["sqrtm"] = theirs
        found = common.median_timings(steps, device=device, repeats=args.repeats, warmup=0)
        row: dict[str, object] = {"features": args.features, "samples": samples, "distance": values["ours"]}
        row |= {f"{way}_s": round(timing.wall, 3) for way, timing in found.items()}
        row |= {f"{way}_cpu_s": round(timing.cpu, 3) for way, timing in found.items()}
        if "sqrtm" in found:
            row["cpu_times_less"] = round(found["sqrtm"].cpu / found["ours"].cpu, 1)
            row["relative_difference"] = abs(values["ours"] - values["sqrtm"]) / abs(values["sqrtm"])
        rows.append(row)
        shown.add_row(*(str(row.get(key, "")) for key in ("samples", *columns)))
    Console().print(shown)
    out = args.out or common.RESULTS / "frechet-cpu.json"
    settings = {key: value for key, value in vars(args).items() if key != "out"}
    common.write_results(out, device=device, settings=settings, results=rows)


if __name__ == "__main__":
    main()
