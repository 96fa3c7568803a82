"""The recipes named after the paper against its Tables 1 and 2 and its Figs. 1 and 2, typed in here once more."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from vdsm_glass.recipes import configs_in, expand, read
from vdsm_glass.schedules import Schedule
from vdsm_glass.vdsm.sizes import Sizes

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"

TABLE_1 = """
MUG      1e-3 1e-3 250 200 20 20 20 50 50
Sprites  8e-3 1e-3 300 200 20 20  8 50 50
MMNIST   1e-3 1e-3 300 200 20 30 16 50 50
Pendula  5e-4 1e-3 200 100 50 20 16 50 50
"""  # lr-Pre lr-Seq Epochs-Pre Epochs-Seq BS-Pre BS-seq Seq-Len BPE-Pre BPE-Seq
TABLE_2 = """
MUG      30 15 50 3 512
Sprites  30 40 50 3 512
MMNIST   30 12 50 3 512
Pendula  30  8 50 3 512
"""  # κ_z κ_s κ_d RNN-Layers RNN-dim
NAMES = {"MUG": "mug", "Sprites": "sprites", "MMNIST": "mmnist", "Pendula": "pendulum"}
DIVERGES = {("Sprites", "pretrain"): 1e-3}
"""Where a recipe departs from Table 1's learning rate, as its header says."""

FIG_1 = {
    "lambda_z": {"knots": [[0, 30], [0.5, 0.2], [0.8, 0.4], [1, 1]]},
    "lambda_s": {"knots": [[0, 0.1], [0.333, 1]]},
    "tau_s": {"knots": [[0, 1], [0.5, 10]]},
}
FIG_2 = {
    "lambda_z": {"knots": [[0, 0.1], [0.5, 0.4], [0.8, 0.4], [1, 1]], "shape": "quadratic"},
    "lambda_s": {"knots": [[0, 1]]},
    "lambda_d": {"knots": [[0, 0.1], [1, 1]]},
    "tau_s": {"knots": [[0, 10]]},
}


def rows(table: str) -> dict[str, list[float]]:
    return {
        name: [float(number) for number in numbers] for name, *numbers in map(str.split, table.strip().splitlines())
    }


def merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """`high` laid over `low`; lists whose key ends in + are put one behind the other."""
    result = dict(low)
    for key, value in high.items():
        if isinstance(value, dict):
            result[key] = merged(result.get(key, {}), value)
        elif key.endswith("+"):
            result[key] = result.get(key, []) + value
        else:
            result[key] = value
    return result


def resolved(recipe: str) -> dict[str, Any]:
    files = configs_in(expand(["--config", str(EXPERIMENTS / "vdsm" / f"{recipe}.yaml")]))
    return reduce(merged, map(read, files), {})


def test_held_weights_are_fig_2s_until_they_stand_at_one():
    overlay = read(EXPERIMENTS / "ablations" / "held_weights.yaml")["trainer"]["callbacks"]
    replaced = [c["class_path"] for c in resolved("sprites_sequence")["trainer"]["callbacks+"]]
    assert [c["class_path"] for c in overlay] == replaced
    held = {name: Schedule(**given) for name, given in overlay[-1]["init_args"].items()}
    for name, given in FIG_2.items():
        assert held[name](0) == Schedule(**given)(0)
    for share in (2 / 3 + 0.001, 0.8, 1):
        assert {name: schedule(share) for name, schedule in held.items()} == {
            "lambda_z": 1,
            "lambda_s": 1,
            "lambda_d": 1,
            "tau_s": 10,
        }


@pytest.mark.parametrize("stage", ["pretrain", "sequence"])
@pytest.mark.parametrize("dataset", NAMES)
def test_a_recipe_has_its_row_of_both_tables_and_its_figure(dataset: str, stage: str):
    second = stage == "sequence"
    rate_1, rate_2, epochs_1, epochs_2, batch_1, batch_2, frames, batches_1, batches_2 = rows(TABLE_1)[dataset]
    config = resolved(f"{NAMES[dataset]}_{stage}")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    rate = DIVERGES.get((dataset, stage), rate_2 if second else rate_1)
    found = (float(model["learning_rate"]), config["trainer"]["max_epochs"], data["batch_size"])
    assert found == (rate, epochs_2 if second else epochs_1, batch_2 if second else batch_1)
    assert (data["clip_length"], data["batches_per_epoch"]) == (frames, batches_2 if second else batches_1)
    sizes = Sizes(**model["sizes"])
    latent = [sizes.kappa_z, sizes.kappa_s, sizes.kappa_d, sizes.rnn_layers, sizes.rnn_dim]
    assert latent == rows(TABLE_2)[dataset]
    (annealing,) = [c for c in config["trainer"]["callbacks+"] if c["class_path"] == "callbacks.KLAnnealing"]
    assert annealing["init_args"] == (FIG_2 if second else FIG_1)
