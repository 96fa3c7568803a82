"""The page of an exported model says whose the data is that the model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_modules import MUG, Pendulum
from tests.data_modules.toy import Toy
from vdsm_glass.model_card import UNKNOWN, data_note
from vdsm_glass.runs import CONFIG


def note(run: Path, data: Any) -> str:
    (run / CONFIG).write_text(yaml.safe_dump({"data": data}), encoding="utf-8")
    return data_note(run)


def test_the_data_module_says_whose_its_data_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("data_modules.MUG", "data_modules.mug.MUG", "MUG"):
        assert note(tmp_path, {"class_path": path}) == MUG.rights
    assert "may not be passed on" in MUG.rights
    tiny = note(tmp_path, {"class_path": "data_modules.Pendulum", "init_args": {"tiny": True}})
    assert tiny == f"{Pendulum.rights} Only a small copy of it, drawn by vdsm-glass, was used."
    monkeypatch.setattr(Toy, "rights", "Mine.")
    assert note(tmp_path, {"class_path": "tests.data_modules.toy.Toy"}) == "Mine."


@pytest.mark.parametrize(
    "path",
    ["tests.data_modules.toy.Toy", "data_modules.Nothing", "not_installed.Own", "Own", "tests.runs.Numbers", ".."],
)
def test_a_class_that_says_nothing_or_is_unknown_is_named(tmp_path: Path, path: str) -> None:
    assert note(tmp_path, {"class_path": path}) == f"`{path.rpartition('.')[2]}`: see its owners' terms."


@pytest.mark.parametrize("data", [None, {}, "text", {"class_path": "data_modules.MUG", "init_args": 3}])
def test_a_config_that_does_not_say_is_unknown(tmp_path: Path, data: Any) -> None:
    assert note(tmp_path, data) == UNKNOWN
    assert data_note(None) == UNKNOWN
