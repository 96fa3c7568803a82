"""What W&B needs to draw every metric over the optimiser's step, in one section a prefix."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOGGED = {"train/loss": 1.0, "schedule/kl_z": 0.5, "codebook/perplexity": 3.0, "val/psnr": 20.0, "test/miou": 0.5}


BLOCK, HEADER, FILE_HEADER = 32768, 7, 7
FULL, FIRST, LAST = 1, 2, 4


def records(file: Path) -> Iterator[bytes]:
    """The records of a .wandb file, which is a LevelDB log: blocks of pieces, each behind checksum, length and kind."""
    data, at, parts = file.read_bytes(), FILE_HEADER, b""
    while at + HEADER < len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        piece = data[at + HEADER : at + HEADER + length]
        parts = piece if kind in (FULL, FIRST) else parts + piece
        at += HEADER + length
        if kind in (FULL, LAST):
            yield parts


LOGS = """
import json, sys, wandb
from callbacks.wandb_logger import RunWandbLogger
logger = RunWandbLogger(folder=sys.argv[1])
for step in (10, 20):
    logger.log_metrics(json.loads(sys.argv[2]), step=step)
wandb.finish()
"""


# In a process of its own: W&B's service writes less where other tests of the process had used it before.
@pytest.mark.thorough
def test_every_prefix_is_drawn_over_the_optimisers_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    subprocess.run([sys.executable, "-c", LOGS, str(tmp_path), json.dumps(LOGGED)], check=True, cwd=ROOT)
    (file,) = tmp_path.rglob("*.wandb")
    found = [Record.FromString(data) for data in records(file)]
    metrics = [record.metric for record in found if record.WhichOneof("record_type") == "metric"]
    assert any(each.glob_name == "*" and each.step_metric == "trainer/global_step" for each in metrics)
    rows = [record.history for record in found if record.WhichOneof("record_type") == "history"]
    written = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item} for row in rows
    ]
    # A section of W&B's page is what stands before a name's first slash: it must arrive as it was logged.
    assert [{name: row[name] for name in LOGGED} for row in written] == [LOGGED, LOGGED]
    assert [row["trainer/global_step"] for row in written] == [10, 20]
