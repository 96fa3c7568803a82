"""What several test files need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets: VDSM_GLASS_TEST_DATA, else `../shared/data` beside the repository; skips without."""
    given = os.environ.get("VDSM_GLASS_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there; set VDSM_GLASS_TEST_DATA")
    return folder
