"""Models of one action a frame from end to end: fit, resume, test, generate, export, load, play; on tiny data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vdsm_glass.api import load
from vdsm_glass.cli import main
from vdsm_glass.play.session_actions import ActionSession
from vdsm_glass.play.session_glass import Move
from vdsm_glass.registry import kinds

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
KINDS = ["caddy", "latent_actions"]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def options(kind: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The compact recipe, on tiny data, in a folder of its own."""
    folder = tmp_path_factory.mktemp(kind)
    overlays = [f"{kind}/w_sprites/compact.yaml", f"smoke/narrow_{kind}.yaml", "smoke/run.yaml"]
    configs = [f"--config={EXPERIMENTS / each}" for each in overlays]
    return [*configs, f"--run.dir={folder}/runs", f"--data.root={folder}/data"]


@pytest.fixture(scope="module")
def checkpoint(kind: str, options: list[str]) -> Path:
    """Trained for one epoch, then resumed for another."""
    assert main(["fit", *options]) == 0
    run = Path(options[3].partition("=")[2]) / kind / "w_sprites" / "compact" / "latest"
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert main(["fit", *options, "--ckpt_path=last", "--trainer.max_epochs=2"]) == 0
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    for name in ("schedules.png", "reconstruction.gif", "transfer.png", "local_actions.gif"):
        assert (run / "pictures" / name).is_file()
    return run / "checkpoints/last.ckpt"


def test_it_is_tested_under_the_protocols_of_glass(kind: str, options: list[str], checkpoint: Path):
    asked = ["--evaluation.metrics=[mse,psnr]", "--evaluation.protocols=[reconstruction,teacher_forced,transfer]"]
    assert kinds()[kind].model_class.protocols.keys() == kinds()["glass"].model_class.protocols.keys()
    assert main(["test", *options, *asked, f"--ckpt_path={checkpoint}"]) == 0
    written = checkpoint.parents[1] / "test/latest"
    results = (written / "results.json").read_text(encoding="utf-8")
    for name in ("reconstruction/mse", "teacher_forced/psnr", "nmi_g", "delta_psnr"):
        assert f'"{name}"' in results
    assert (written / "pictures/evaluation_transfer.gif").is_file()


def test_it_generates_exports_and_loads(kind: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    model: Any = load(checkpoint, device="cpu")
    assert model.size == (64, 80)
    video = torch.rand(2, 4, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    assert main(["generate", "actions", str(checkpoint), "--out", str(tmp_path / "made.gif")]) == 0
    assert "local actions, counted from 0:" in capsys.readouterr().out
    dynamics = ["--steps", "5", "--dynamics", "prior"]
    assert main(["generate", "rollout", str(checkpoint), *dynamics, "--out", str(tmp_path / "rolled.gif")]) == 0
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/config.json").read_text(encoding="utf-8"))["kind"] == kind
    again = load(tmp_path / "out", device="cpu")
    torch.testing.assert_close(again.reconstruct(video), model.reconstruct(video))
    assert "arXiv" in (tmp_path / "out/README.md").read_text(encoding="utf-8")


def test_it_is_played(kind: str, checkpoint: Path):
    from vdsm_glass.commands.play import add_page

    add_page(checkpoint, None, [], address=f"/{kind}")
    model: Any = load(checkpoint, device="cpu")
    first = torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(0))
    session = ActionSession(model.network, first)
    for action in (1, 0, 1):
        session.play(Move(action=action))
    played = model.network.start(2 * first[None] - 1)
    for action in (1, 0, 1):
        played = model.network.advance(played, torch.tensor([action]))
    torch.testing.assert_close(session.picture(), played.picture[0])
    assert session.video().shape == (4, 3, 64, 80)
    assert session.undo()
    assert len(session) == 3
    with pytest.raises(ValueError, match=f"expected 0 to {model.k - 1}"):
        session.play(Move(action=model.k))
    session.reset()
    assert torch.equal(session.picture(), first)
