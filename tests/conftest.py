"""What several test files need."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

# One thread a process, before PyTorch is imported: `make test` has as many workers as cores, and threads that wait for
# a core spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# Properties are tried on the same examples in every run, so that a red run is about the change that is tested;
# `make fuzz` looks for new ones.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.register_profile("fuzz", print_blob=True)
settings.load_profile(os.environ.get("VDSM_GLASS_HYPOTHESIS", "repeatable"))

os.environ["VDSM_GLASS_OFFLINE"] = "1"  # no test downloads anything; processes that tests start inherit it


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets: VDSM_GLASS_TEST_DATA, else `../shared/data` beside the repository; skips without."""
    given = os.environ.get("VDSM_GLASS_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there; set VDSM_GLASS_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[str]:
    """Address of a Dask scheduler with two workers of two threads each, processes that are started again if killed."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        resources={"GPU": 1},
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address
