"""What every benchmark needs: medians taken in turns, peak memory, the hardware in words, a JSON file that says all."""

import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

RESULTS = Path(__file__).parent / "results"
PROC = Path("/proc")
WAYS = ("plain", "compiled", "graph")
"""How a benchmark takes a GPU's steps: as they are, with torch.compile, as a CUDA graph."""

Step = Callable[[], object]


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(device: torch.device) -> None:
    """Waits for the kernels launched so far: a GPU's clock is only true after that."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Timing(NamedTuple):
    """Seconds of one call: on the clock, kernels included, and of the process on all of its CPU threads.

    A busy neighbour lengthens the first and hardly the second, which with one thread is the work done.
    """

    wall: float
    cpu: float


def timed(step: Step, device: torch.device) -> Timing:
    """One call, timed."""
    synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    synchronize(device)
    return Timing(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def medians(
    steps: Mapping[str, Step], *, device: torch.device, repeats: int = 5, warmup: int = 1, max_seconds: float = 60.0
) -> dict[str, float]:
    """Median wall time of each step, in seconds; see `median_timings`."""
    found = median_timings(steps, device=device, repeats=repeats, warmup=warmup, max_seconds=max_seconds)
    return {name: timing.wall for name, timing in found.items()}


def median_timings(
    steps: Mapping[str, Step], *, device: torch.device, repeats: int = 5, warmup: int = 1, max_seconds: float = 60.0
) -> dict[str, Timing]:
    """Median times of each step.

    The steps take turns, so a neighbour who uses the machine for a while slows all of them alike and their ratios stay
    true. A step that has used `max_seconds` is not repeated further: the slow baselines need fewer repeats.
    """
    for step in steps.values():
        for _ in range(warmup):
            step()
    times: dict[str, list[Timing]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            if sum(found.wall for found in times[name]) < max_seconds:
                times[name].append(timed(step, device))
    return {
        name: Timing(*(statistics.median(values) for values in zip(*found, strict=True)))
        for name, found in times.items()
    }


def peak_memory(step: Step, device: torch.device) -> int | None:
    """Most bytes that one call held beyond what was held before it; None where the system does not tell.

    On CPU this is the resident set as Linux counts it, after the allocator gave back what it had kept from before.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (PROC / "self/clear_refs").write_text("5")  # resets the high-water mark
    except OSError:
        return None
    before = _status_bytes("VmRSS")
    step()
    return _status_bytes("VmHWM") - before


def work(step: Step, module: torch.nn.Module) -> dict[str, float]:
    """The least that a step has to do: multiplications and additions as PyTorch counts them, and bytes of memory.

    Bytes: each trained number, its gradient and Adam's two moments are read and written once, 32 bytes in fp32.
    """
    with FlopCounterMode(display=False) as counter:
        step()
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return {"gflop": round(counter.get_total_flops() / 1e9, 3), "gigabytes": round(32 * trained / 1e9, 4)}


def captured(step: Step) -> Step:
    """The step as one CUDA graph, which launches all its kernels at once.  [PyTorch, CUDA semantics]

    The step's optimiser must be `capturable`.  Raises: RuntimeError, the step waits for the GPU or copies from the CPU.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _status_bytes(key: str) -> int:
    lines = (PROC / "self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024


def hardware(device: torch.device) -> dict[str, Any]:
    """Describes the machine and the versions that the numbers were measured with."""
    found: dict[str, Any] = {
        "device": device.type,
        "cpu": _cpu_name(),
        "cpu_threads": torch.get_num_threads(),
        "load_average": [round(load, 1) for load in os.getloadavg()],  # how busy others kept it
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"gpu": properties.name, "gpu_memory_gib": round(properties.total_memory / 2**30, 1)}
    return found


def _cpu_name() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = (PROC / "cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def show(rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Prints rows of the same keys as a table; None is left empty."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


def write_results(
    path: Path, *, device: torch.device, settings: Mapping[str, Any], results: list[dict[str, Any]]
) -> None:
    """One JSON file: when, how, on what, with which settings, and every row."""
    module = sys.modules["__main__"].__spec__
    command = " ".join(["python -m", module.name if module else Path(sys.argv[0]).stem, *sys.argv[1:]])
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "hardware": hardware(device),
        "settings": dict(settings),
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
