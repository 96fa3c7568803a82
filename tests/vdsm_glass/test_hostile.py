"""Files that `benchmarks.faults inputs` found to end in an error without a name: each is refused by its name."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from data_modules.common.errors import DataError, UserError
from data_modules.store.format import MANIFEST, read_manifest
from tests.data_modules.sources import expect_only
from vdsm_glass import recipes
from vdsm_glass.checkpoints import CheckpointError, read_checkpoint
from vdsm_glass.sweeps.definition import read as read_sweep

DEEP, LONG = "[" * 5000, "9" * 5000
SWEEP = "method: grid\nmetric: {name: val/loss}\nparameters: {a: {value: 1}}\n"


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("byteorder", b"nittle"),
        ("version", b"\xff"),
        ("data.pkl", b""),
        ("data.pkl", b"."),
        ("data.pkl", b"\x80\x02a."),
        ("data.pkl", b"\x80\x02X\x01\x00"),
        ("data.pkl", b"\x80\x02X\x01\x00\x00\x00\xff."),
        ("data.pkl", pickle.dumps({"state_dict": Path("x")}, protocol=2)),
        (".format_version", b"\x80"),
    ],
)
def test_a_checkpoint_with_a_spoilt_member_is_refused_by_name(member: str, content: bytes, tmp_path: Path):
    torch.save({"state_dict": {"a": torch.zeros(3)}}, stream := io.BytesIO())
    file = tmp_path / "spoilt.ckpt"
    with zipfile.ZipFile(stream) as whole, zipfile.ZipFile(file, "w") as spoilt:
        for name in whole.namelist():
            spoilt.writestr(name, content if name.endswith(f"/{member}") else whole.read(name))
    with expect_only(CheckpointError, match="spoilt.ckpt: "):
        read_checkpoint(file)
        assert member in ("version", ".format_version")  # PyTorch does not look at these


@pytest.mark.parametrize("text", [DEEP, f"a: {LONG}", "? [a] : b", "? {a: b} : c", "\x00"])
def test_a_recipe_that_yaml_cannot_hold_is_refused_by_name(text: str, tmp_path: Path):
    file = tmp_path / "spoilt.yaml"
    file.write_text(text, encoding="utf-8")
    for read in (recipes.read, read_sweep):
        with pytest.raises(UserError, match=r"spoilt\.yaml: is not valid YAML"):
            read(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("grid", "[grid]"),
        ("grid", "{a: b}"),
        ("val/loss", "val/loss, goal: []"),
        ("value: 1", "values: [1], probabilities: 3"),
        ("value: 1", "distribution: [uniform]"),
        ("value: 1", "distribution: {}"),
        ("value: 1", "min: 1, max: 1.0e+999"),
    ],
)
def test_a_sweep_with_values_of_another_kind_is_refused_by_name(old: str, new: str, tmp_path: Path):
    file = tmp_path / "spoilt.yaml"
    file.write_text(SWEEP.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=r"spoilt\.yaml: "):
        read_sweep(file)


@pytest.mark.parametrize(
    "text", [DEEP, '{"a":' * 5000, LONG, "\ud800".encode(errors="surrogatepass").decode("latin-1")]
)
def test_a_manifest_that_json_cannot_hold_is_refused_by_name(text: str, tmp_path: Path):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=MANIFEST):
        read_manifest(tmp_path)
