import platform
import subprocess
import sys

import pytest

from vdsm_glass import processor

FAULTS = """
import resource
from vdsm_glass.processor import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

bytearray(64 << 20)
mapped_afresh = faults()
assert keep_freed_memory()
faults()
print(mapped_afresh, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_a_second_allocation_of_the_same_size_touches_no_new_page():
    # In a process of its own, since the setting cannot be taken back.
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    mapped_afresh, kept = map(int, run.stdout.split())
    assert mapped_afresh > 30  # 64 MB are 32 huge pages at the least
    assert kept < mapped_afresh / 10


@pytest.mark.parametrize(
    ("precision", "accelerator", "has_bfloat16", "expected"),
    [
        ("bf16-mixed", "cpu", False, "32-true"),
        ("bf16-mixed", "cpu", True, "bf16-mixed"),
        ("bf16-mixed", "cuda", False, "bf16-mixed"),
        ("64-true", "cpu", False, "64-true"),
    ],
)
def test_bfloat16_is_left_where_a_processor_lacks_it(
    precision: str, accelerator: str, has_bfloat16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processor, "has_bfloat16", lambda: has_bfloat16)
    assert processor.precision_here(precision, accelerator=accelerator) == expected
