"""What a device can do at best: a large matrix product in each precision, and a copy.

    python -m benchmarks.floor [--side 8192 --megabytes 1024]

A step of training cannot be faster than its multiplications at the measured rate, nor than the bytes that it must
move at the measured bandwidth (`benchmarks.common.work`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks import common


def measure(device: torch.device, *, side: int, megabytes: int, repeats: int = 10) -> list[dict[str, object]]:
    """A row for each precision, in TFLOP/s, and one for memory, in GB/s, reading and writing counted."""
    rows: list[dict[str, object]] = []
    for name, dtype, precision in (
        ("fp32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bf16", torch.bfloat16, "highest"),
    ):
        torch.set_float32_matmul_precision(precision)
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        seconds = common.medians({name: lambda a=a, b=b: a @ b}, device=device, repeats=repeats, warmup=3)[name]
        rows.append({"what": name, "tflop_per_s": round(2e-12 * side**3 / seconds, 3), "gb_per_s": None})
    torch.set_float32_matmul_precision("highest")
    source = torch.zeros(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    seconds = common.medians({"copy": lambda: target.copy_(source)}, device=device, repeats=repeats, warmup=3)["copy"]
    rows.append({"what": "memory", "tflop_per_s": None, "gb_per_s": round(2e-9 * source.nbytes / seconds, 1)})
    return rows


def main() -> None:
    """Measures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices")
    parser.add_argument("--megabytes", type=int, default=1024, help="that are copied")
    parser.add_argument("--device", default=str(common.default_device()))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = torch.device(args.device)
    rows = measure(device, side=args.side, megabytes=args.megabytes)
    common.show(rows, title="The most that the device does")
    path = args.out or common.RESULTS / f"floor-{device.type}.json"
    common.write_results(path, device=device, settings={"side": args.side, "megabytes": args.megabytes}, results=rows)


if __name__ == "__main__":
    main()
