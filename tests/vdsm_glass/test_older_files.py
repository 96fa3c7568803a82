"""Checkpoints from before kinds were saved are still read, resumed and exported; exports of that time are read.

Commit e996662 wrote `tests/fixtures/version_0_1` on 2026-11-25: two steps of narrow models on tiny data, and in
`reconstructed.npz` what each of them made of `clip`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vdsm_glass.api import load
from vdsm_glass.cli import main
from vdsm_glass.export import export

HERE = Path(__file__).parents[1] / "fixtures" / "version_0_1"
RECIPES = Path(__file__).parents[2] / "experiments"
CAN = {"vdsm_frames": "sample", "vdsm": "rollout", "glass": "action_matrix"}


def clip(kind: str) -> Tensor:
    """The clip that was reconstructed then."""
    height, width = (32, 48) if kind == "glass" else (16, 16)
    return torch.rand(1, 3, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", CAN)
def test_an_old_checkpoint_draws_what_it_drew_and_so_does_its_export(tmp_path: Path, kind: str):
    with np.load(HERE / "reconstructed.npz") as drawn:
        wanted = torch.from_numpy(drawn[kind])
    for path in (HERE / f"{kind}.ckpt", export(HERE / f"{kind}.ckpt", tmp_path / "out")):
        model = load(path, device="cpu")
        assert CAN[kind] in model.can
        torch.testing.assert_close(model.reconstruct(clip(kind)), wanted, rtol=1e-4, atol=1e-5)


def test_an_old_export_draws_what_it_drew():
    with np.load(HERE / "reconstructed.npz") as drawn:
        wanted = torch.from_numpy(drawn["vdsm"])
    made = load(HERE / "exported_vdsm", device="cpu").reconstruct(clip("vdsm"))
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-5)


def test_an_old_run_goes_on(tmp_path: Path):
    narrow = tmp_path / "narrow.yaml"
    narrow.write_text(
        "model: {init_args: {sizes: {kappa_z: 3, kappa_s: 4, kappa_d: 5, rnn_layers: 1, rnn_dim: 6, combiner_dim: 7, "
        "transition_dim: 6, transition_memory: 0, "  # which the recipe has only since
        "encoder_channels: [4, 4, 8], identity_dim: 6, decoder_channels: [8, 4]}}}\n"
        "data: {init_args: {size: 16, clip_length: 4, eval_clip_length: 4}}\n",
        encoding="utf-8",
    )
    recipe = RECIPES / "vdsm/compact/pendulum_sequence.yaml"
    configs = [f"--config={path}" for path in (recipe, narrow, RECIPES / "smoke/run.yaml")]
    options = [f"--data.root={tmp_path}/data", f"--run.dir={tmp_path}/runs", "--trainer.max_epochs=2"]
    checkpoint = shutil.copy(HERE / "vdsm.ckpt", tmp_path / "last.ckpt")
    assert main(["fit", *configs, *options, f"--ckpt_path={checkpoint}"]) == 0
    made = tmp_path / "runs/vdsm/compact/pendulum_sequence/version_0/checkpoints/last.ckpt"
    content = torch.load(made, weights_only=True)
    assert content["global_step"] == 4
    assert content["hyper_parameters"]["kind"] == "vdsm"
