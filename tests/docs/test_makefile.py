"""Every recipe that trains in one go has a target, and the list of targets can be read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.experiments.test_recipes import DISCRETE, DSVAE, GLASS, PRETRAINED

ROOT = Path(__file__).resolve().parents[2]


def asked_of_make(*words: str) -> str:
    """What make prints, in the repository."""
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("recipe", [*GLASS, *DISCRETE, *DSVAE])
def test_every_recipe_of_one_stage_has_a_target(recipe: str):
    model, _, name = recipe.partition("/")
    said = asked_of_make("-n", f"train-{model}-{name}", "ARGS=--trainer.max_epochs 1")
    assert f"vdsm-glass fit --config experiments/{recipe}.yaml --trainer.max_epochs 1\n" in said


def test_every_pair_of_stages_has_a_target():
    for recipe in PRETRAINED:
        data = recipe.removeprefix("vdsm/").removesuffix("_pretrain")
        if not data.startswith("compact/"):
            said = asked_of_make("-n", f"train-vdsm-{data}")
            first, second = (said.index(f"experiments/vdsm/{data}_{stage}.yaml") for stage in ("pretrain", "sequence"))
            assert first < second


def test_the_list_of_targets_has_each_once_in_a_line_that_fits_a_terminal():
    lines = asked_of_make("help").splitlines()
    names = [line[2:20].strip() for line in lines]
    assert len(set(names)) == len(names)
    assert {"train-vdsm-NAME", "train-MODEL-NAME", "study-vdsm, -glass", "arena"} <= set(names)
    for line in lines:
        assert line[20] == " " != line[21], f"{line!r} has no column of its own for what the target does"
        assert "$" not in line.split()[0]
        assert len(line) <= 120
