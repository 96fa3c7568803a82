"""Networks to play with, small enough for tests, and the checkpoints and runs that they would come from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.vdsm_glass.glass.small import small_lma, small_sizes
from tests.vdsm_glass.glass.test_gma import NARROW
from vdsm_glass.glass.net import GLASS
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

SIZES = Sizes(
    kappa_z=3,
    kappa_s=4,
    kappa_d=5,
    rnn_layers=1,
    rnn_dim=6,
    combiner_dim=7,
    encoder_channels=(4, 4, 8),
    identity_dim=6,
    decoder_channels=(8, 4),
)
GLASS_DATA = {"class_path": "data_modules.WSprites", "init_args": {"size": [32, 48], "eval_clip_length": 6}}
VDSM_DATA = {"class_path": "data_modules.Pendulum", "init_args": {"size": 16, "clip_length": 6, "colours": 3}}


def small_glass() -> GLASS:
    """GLASS for frames of any size."""
    torch.manual_seed(0)
    made = GLASS(gma=NARROW, lma=small_sizes(), theta=0.3)
    made.lma = small_lma()
    return made.eval()


def small_vdsm() -> SequenceVDSM:
    """The second stage of VDSM, for frames of 16x16."""
    torch.manual_seed(0)
    made = SequenceVDSM(SIZES).eval()
    made.frames.tau_s.fill_(5.0)
    return made


def glass_checkpoint(folder: Path) -> Path:
    """A run of GLASS."""
    net = small_glass()
    given = {"gma": asdict(NARROW), "lma": asdict(small_sizes()), "theta": 0.3, "shifts_from_inpainted": False}
    return write_run(folder, net, given, GLASS_DATA)


def vdsm_checkpoint(folder: Path, *, stage: int = 2) -> Path:
    """A run of either stage of VDSM."""
    net = small_vdsm()
    return write_run(folder, net if stage == 2 else net.frames, {"sizes": asdict(SIZES)}, VDSM_DATA)


def write_run(folder: Path, net: torch.nn.Module, given: dict[str, Any], data: dict[str, Any]) -> Path:
    """A run's config.yaml and last.ckpt, its data drawn below the run."""
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": given}, path)
    options = data["init_args"] | {"root": str(folder / "data"), "tiny": True}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data | {"init_args": options}}), encoding="utf-8")
    return path
