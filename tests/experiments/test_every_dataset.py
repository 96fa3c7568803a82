"""One recipe on every dataset: only the data part of its config changes."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import yaml

from data_modules import DATASETS
from vdsm_glass.cli import main

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SIDE = 64  # what the encoder of the recipe takes; data parts have the sizes of the papers


def test_every_dataset_has_a_data_part():
    parts = {part.stem: yaml.safe_load(part.read_text("utf-8")) for part in (EXPERIMENTS / "parts" / "data").iterdir()}
    named = {name: path.replace(f".{path.split('.')[-2]}.", ".") for name, path in DATASETS.items()}
    assert {name: part["data"]["class_path"] for name, part in parts.items()} == named
    assert all(part.keys() == {"data"} for part in parts.values())


@pytest.mark.parametrize("name", DATASETS)
def test_vdsm_trains_on_it(name: str, tmp_path: Path):
    configs = ("vdsm/pendulum_pretrain", f"parts/data/{name}", "smoke/narrow_vdsm", "smoke/run")
    arguments = [word for config in configs for word in ("--config", str(EXPERIMENTS / f"{config}.yaml"))]
    places = ["--run.dir", str(tmp_path / "runs"), "--run.name", name, "--data.root", str(tmp_path / "data")]
    # Pictures and annealing are the recipes' own tests' matter.
    assert main(["fit", *arguments, *places, "--data.size", str(SIDE), "--trainer.callbacks", "[]"]) == 0
    run = tmp_path / "runs" / name / "latest"
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    assert config["data"]["class_path"].rpartition(".")[2] == DATASETS[name].rpartition(".")[2]
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        losses = [float(row["train/loss"]) for row in csv.DictReader(lines) if row["train/loss"]]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
