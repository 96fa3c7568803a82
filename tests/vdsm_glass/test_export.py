"""What is exported draws what the checkpoint draws; what is not ours is one error."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from data_modules.common.errors import UserError
from tests.vdsm_glass.generate.small import KINDS, checkpoint, clips
from tests.vdsm_glass.glass.small import small_sizes
from vdsm_glass.api import load
from vdsm_glass.checkpoints import CheckpointError
from vdsm_glass.commands import export as command
from vdsm_glass.export import export
from vdsm_glass.metrics.results import NotComputed, Protocol, Result, ResultSet
from vdsm_glass.registry import imported, kinds


@pytest.mark.parametrize("kind", KINDS)
def test_lightning_checkpoint_and_export_draw_the_same_bits(tmp_path: Path, kind: str):
    path = checkpoint(kind, tmp_path / "run")
    content = torch.load(path, weights_only=True)
    extra = {"perceptual": "none"} if kind == "glass" else {}
    module = imported(kinds()[kind].module)(**content["hyper_parameters"], **extra)
    module.load_state_dict(content["state_dict"])
    video = clips(kind)
    wanted = kinds()[kind].model_class(module.net.eval()).reconstruct(video)
    export(path, tmp_path / "out")
    before = torch.random.get_rng_state()
    for place in (path, tmp_path / "out"):
        torch.testing.assert_close(load(place, device="cpu").reconstruct(video), wanted, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_export_says_what_it_is_and_leaves_nothing_else_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = checkpoint("glass", tmp_path / "run")
    on = Protocol(split="test", clips=7, frames=6, height=32, width=48, stride=1)
    book = ResultSet()
    missing = NotComputed(name="fid", reason="/home/somebody/inception.pth is not there")
    book.add([Result(name="psnr", value=31.25, protocol=on)], [missing])
    book.write(tmp_path / "run" / "test" / "version_0")
    assert command.main([str(path), str(tmp_path / "out")]) == 0
    files = ["README.md", "config.json", "weights.safetensors"]
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in files]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "run"]
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for said in ("3 local actions", "32 x 48", "| psnr | 31.25 | 7 clips of 6", "CC-BY-SA", "drawn by vdsm-glass, was"):
        assert said in page
    assert "Not computed: fid." in page
    assert "somebody" not in page  # a page to pass on names no folders of whoever made it
    described = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert described["frame_size"] == [32, 48]
    assert described["arguments"]["lma"]["hidden"] == small_sizes().hidden


def test_an_export_overwrites_nothing_and_a_failed_one_leaves_nothing(tmp_path: Path):
    path = checkpoint("vdsm", tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine: is there already"):
        export(path, tmp_path / "mine")
    with pytest.raises(UserError, match=r"out cannot be written: .*Name another folder"):
        export(path, tmp_path / "mine" / "notes.txt" / "out")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        export(path, tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine", "run"]
    assert (tmp_path / "mine" / "notes.txt").read_text(encoding="utf-8") == "keep"


class Program:
    """Something whose unpickling would be seen."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        ("pickle", r"weights.safetensors: cannot be read as safetensors"),
        ("torch", r"weights.safetensors: cannot be read as safetensors"),
        ("cut", r"weights.safetensors: cannot be read as safetensors"),
        ("empty", r"weights.safetensors: cannot be read as safetensors"),
        ("flipped bit", r"weights.safetensors: is not the file that config.json"),
        ("other weights", r"config.json: does not describe weights.safetensors"),
        ("no weights", r"no exported model: it needs config.json and weights.safetensors"),
        ("no config", r"no exported model: it needs config.json and weights.safetensors"),
        ("sizes", r"config.json: does not describe .*has shape"),
        (
            "absurd sizes",
            r"config.json: does not describe .*rnn_layers is 1000000000, expected a whole number from 1 to 128",
        ),
        ("absurd depth", r"config.json: does not describe .*rnn_layers is 10000, expected"),
        ("huge tensors", r"config.json: does not describe"),
        ("text for a size", r"config.json: does not describe"),
        ("unknown size", r"config.json: does not describe .*colour"),
        ("kind", r"config.json: does not describe .*os.system"),
        ("format", r"config.json: is not the description .*'diffusers 3'"),
        ("json", r"config.json: is not the description"),
        ("nested json", r"config.json: is not the description"),
        ("frame size", r"config.json: is not the description .*frame_size"),
        ("large json", r"config.json: is not the description .*too many"),
    ],
)
def test_what_is_not_ours_is_one_error_and_is_not_run(tmp_path: Path, harm: str, error: str):
    folder = export(checkpoint("vdsm", tmp_path / "run"), tmp_path / "out")
    weights, config, mark = folder / "weights.safetensors", folder / "config.json", tmp_path / "ran"
    content = json.loads(config.read_text(encoding="utf-8"))
    sizes = content["arguments"]["sizes"]
    whole = weights.read_bytes()
    changes: dict[str, Any] = {
        "pickle": lambda: weights.write_bytes(pickle.dumps(Program(mark))),
        "torch": lambda: torch.save({"x": Program(mark)}, weights),
        "cut": lambda: weights.write_bytes(whole[: len(whole) // 2]),
        "empty": lambda: weights.write_bytes(b""),
        "flipped bit": lambda: weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])),
        "other weights": lambda: save_file({"x": torch.zeros(2)}, weights),
        "no weights": weights.unlink,
        "no config": config.unlink,
        "sizes": lambda: sizes.update(kappa_z=4),
        "absurd sizes": lambda: sizes.update(rnn_layers=10**9),
        "absurd depth": lambda: sizes.update(rnn_layers=10_000),
        "huge tensors": lambda: sizes.update(rnn_dim=16384, combiner_dim=16384, rnn_layers=64),
        "text for a size": lambda: sizes.update(kappa_d="5"),
        "unknown size": lambda: sizes.update(colour=5),
        "kind": lambda: content.update(kind="os.system"),
        "format": lambda: content.update(format="diffusers 3"),
        "frame size": lambda: content.update(frame_size=[16, "16"]),
        "large json": lambda: content.update(padding="x" * (1 << 20)),
    }
    texts = {"json": "{", "nested json": "[" * 100_000}
    changes.get(harm, lambda: None)()
    if harm != "no config" and harm != "flipped bit":
        if weights.exists() and harm == "other weights":
            content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
        config.write_text(texts.get(harm, json.dumps(content)), encoding="utf-8")
    with pytest.raises(CheckpointError, match=error) as raised:
        load(folder)
    assert str(raised.value).startswith(str(folder))
    assert not mark.exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read where Linux has it")
def test_a_description_of_huge_tensors_costs_no_memory(tmp_path: Path):
    """... and no address space: a process that has mapped more than the machine holds cannot fork any more."""
    folder = export(checkpoint("vdsm", tmp_path / "run"), tmp_path / "out")
    config = folder / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    content["arguments"]["sizes"].update(rnn_dim=16384, combiner_dim=16384, rnn_layers=64)
    config.write_text(json.dumps(content), encoding="utf-8")
    before = peak_of_address_space()
    with pytest.raises(CheckpointError, match="does not describe"):
        load(folder)
    assert peak_of_address_space() - before < 1 << 30


def peak_of_address_space() -> int:
    """Bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmPeak:")[1].split()[0]) * 1024


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda value: value * float("nan"), "combiner.head.bias is not finite: its training diverged"),
        (lambda value: value.to(torch.int8), "combiner.head.bias holds torch.int8, expected torch.float32"),
    ],
)
def test_numbers_that_cannot_be_weights_are_named(tmp_path: Path, broken: Any, error: str):
    path = checkpoint("vdsm", tmp_path / "run")
    folder = export(path, tmp_path / "out")
    weights, config = folder / "weights.safetensors", folder / "config.json"
    state = load_file(weights)
    save_file(state | {"combiner.head.bias": broken(state["combiner.head.bias"])}, weights)
    content = json.loads(config.read_text(encoding="utf-8"))
    content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    config.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=error):
        load(folder)
    content = torch.load(path, weights_only=True)
    content["state_dict"]["net.combiner.head.bias"] = broken(content["state_dict"]["net.combiner.head.bias"])
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=error):
        load(path)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("glass", r"does not describe .*nothing is fitted to GLASS, and here is identity\.root"),
        ("vdsm", r"does not describe .*the density fitted to training clips does not fit this model: .*is missing"),
    ],
)
def test_what_is_fitted_to_a_model_has_to_fit(tmp_path: Path, kind: str, error: str):
    folder = export(checkpoint(kind, tmp_path / "run"), tmp_path / "out")
    weights, config = folder / "weights.safetensors", folder / "config.json"
    save_file(load_file(weights) | {"fitted.identity.root": torch.eye(4)}, weights)
    content = json.loads(config.read_text(encoding="utf-8"))
    content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    config.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=error):
        load(folder)


def test_weights_of_another_network_do_not_fill_this_one(tmp_path: Path):
    folder = export(checkpoint("vdsm_frames", tmp_path / "run"), tmp_path / "out")
    state = load_file(folder / "weights.safetensors")
    assert state["tau_s"].item() == 5.0
    with pytest.raises(CheckpointError, match=r"give a checkpoint in it, checkpoints/last\.ckpt"):
        load(tmp_path / "run")


def test_a_model_loads_without_lightning_and_the_package_without_pytorch(tmp_path: Path):
    folder = export(checkpoint("glass", tmp_path / "run"), tmp_path / "out")
    script = (
        "import sys, vdsm_glass; assert 'torch' not in sys.modules; "
        f"vdsm_glass.load({str(folder)!r}); assert 'lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
