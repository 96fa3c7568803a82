"""The DSVAE family from a recipe to a picture: fit, resume, test, generate, export, load and the page's board."""

import json
from pathlib import Path

import pytest
import torch

from vdsm_glass.api import load
from vdsm_glass.cli import main
from vdsm_glass.commands.play import to_play
from vdsm_glass.play.clips import clips_to_play
from vdsm_glass.play.session_vdsm import Board, VDSMSession

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
RECIPES = [
    f"{model}/{data}"
    for model in ("c_dsvae", "dbse")
    for data in ("pendulum", "sprites", "mug", "pendulum/compact", "sprites/compact")
]


def configs(recipe: str, folder: Path) -> list[str]:
    narrow = [] if recipe.endswith("compact") else ["smoke/narrow_dsvae"]
    files = [f"--config={EXPERIMENTS / file}.yaml" for file in (recipe, *narrow, "smoke/run")]
    return [*files, f"--run.dir={folder}/runs", f"--data.root={folder}/data"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dsvae")


def last(recipe: str, folder: Path) -> Path:
    return folder / "runs" / recipe / "latest/checkpoints/last.ckpt"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_takes_two_steps(recipe: str, folder: Path):
    assert main(["fit", *configs(recipe, folder)]) == 0
    held = torch.load(last(recipe, folder), weights_only=True)
    assert held["global_step"] == 2
    assert held["hyper_parameters"]["sizes"]["single_element"] == recipe.startswith("dbse")
    assert bool(held["hyper_parameters"]["weights"]["mutual"]) == recipe.startswith("c_dsvae")


@pytest.mark.parametrize(
    "recipe", ["c_dsvae/pendulum/compact", pytest.param("dbse/pendulum/compact", marks=pytest.mark.thorough)]
)
def test_it_resumes_is_tested_generates_and_is_exported_and_played(recipe: str, folder: Path, tmp_path: Path):
    options = configs(recipe, folder)
    if not last(recipe, folder).is_file():
        assert main(["fit", *options]) == 0
    assert main(["fit", *options, "--ckpt_path=last", "--trainer.max_epochs=2"]) == 0
    checkpoint = last(recipe, folder)
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 4

    assert main(["test", *options, "--evaluation.metrics=[mse,psnr]", f"--ckpt_path={checkpoint}"]) == 0
    written = json.loads((checkpoint.parents[1] / "test/latest/results.json").read_text(encoding="utf-8"))
    for name in ("reconstruction/mse", "identity_from_s", "action_from_d", "swapped_identity"):
        assert name in json.dumps(written)

    for verb in ("reconstruct", "transfer", "swap", "rollout", "sample"):
        assert main(["generate", verb, str(checkpoint), "--out", str(tmp_path / f"{verb}.gif")]) == 0
        assert (tmp_path / f"{verb}.gif").is_file()

    model = load(checkpoint, device="cpu")
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 0
    video = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(load(tmp_path / "out", device="cpu").reconstruct(video), model.reconstruct(video))
    torch.testing.assert_close(model.transfer(video, video), model.reconstruct(video))
    assert model.rollout(video, steps=7).shape == (2, 7, 3, 32, 32)
    assert model.interpolate(video[0], video[1, :3], of="motion", count=3).shape[:2] == (3, 3)

    played, data = to_play(checkpoint, None, [])
    clips = torch.stack([clip.video for clip in clips_to_play(played, data, by="identity", most=2)])
    session = VDSMSession(Board(played, identities=clips, actions=clips))  # pyright: ignore[reportArgumentType]
    session.share_d = 0.5
    assert session.video().shape == clips.shape[1:]
    session.long = True
    assert len(session.video()) == 60
