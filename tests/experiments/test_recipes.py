"""Every recipe under experiments/ trains: two steps, on tiny data, through the command line. A new one is found."""

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from vdsm_glass.cli import main
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.sweeps.check import CommandLines

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
NOT_RECIPES = {"parts", "smoke", "ablations", "sweeps"}
RECIPES = sorted(
    str(file.relative_to(EXPERIMENTS).with_suffix(""))
    for file in EXPERIMENTS.rglob("*.yaml")
    if not NOT_RECIPES & set(file.relative_to(EXPERIMENTS).parts)
)
PRETRAINED = [recipe for recipe in RECIPES if recipe.endswith("_pretrain")]
DISCRETE = [recipe for recipe in RECIPES if recipe.startswith(("caddy/", "latent_actions/"))]
GLASS = [recipe for recipe in RECIPES if recipe.startswith("glass/")]
DSVAE = [recipe for recipe in RECIPES if recipe.startswith(("dsvae/", "c_dsvae/", "dbse/"))]
"""Their own test is in tests/vdsm_glass/dsvae."""
TRIVIAL = [
    recipe
    for recipe in RECIPES
    if recipe.split("/")[0] in {"first_frame", "nearest_clip", "random_action", "true_shifts"}
]
"""Their own test is in tests/vdsm_glass/trivial."""


CONTRAST = ("--data.batch_size", "32", "--model.contrast.steps", "1")
"""One step in which s is learned, of more clips than s has numbers, and one after it."""


def smoke(recipe: str, folder: Path, *more: str, command: str = "fit") -> Path:
    """Trains a recipe for two steps (or tests it) and returns its run folder."""
    model = recipe.split("/")[0]
    narrow = ["--config", str(EXPERIMENTS / "smoke" / f"narrow_{model}.yaml")]
    if model == "vdsm" and "compact" in recipe:
        narrow = []
    if "contrast" in " ".join(more) or recipe in {"vdsm/compact/sprites_pretrain", "vdsm/box/sprites_pretrain"}:
        more = (*more, *CONTRAST)
    arguments = [
        command,
        *("--config", str(EXPERIMENTS / f"{recipe}.yaml")),
        *narrow,
        *("--config", str(EXPERIMENTS / "smoke" / "run.yaml")),
        *("--run.dir", str(folder / "runs"), "--data.root", str(folder / "data")),
    ]
    assert main([*arguments, *more]) == 0
    return folder / "runs" / recipe / "latest"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all recipes, so that each dataset's tiny store is built once."""
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Callable[[str], Path]:
    """The run of a recipe that nothing is laid over; it is trained once for all tests."""
    return cache(lambda recipe: smoke(recipe, folder))


def rows(run: Path) -> list[dict[str, str]]:
    """What was logged of each training step."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if row["train/loss"]]


def losses(run: Path) -> list[float]:
    return [float(row["train/loss"]) for row in rows(run)]


@pytest.mark.parametrize(
    "recipe", [pytest.param(each, marks=[pytest.mark.thorough] * ("/box/" in each)) for each in PRETRAINED]
)
def test_both_stages_take_two_steps(recipe: str, trained: Callable[[str], Path], folder: Path):
    first = trained(recipe)
    second_recipe = recipe.replace("_pretrain", "_sequence")
    assert second_recipe in RECIPES, "a stage 1 without its stage 2"
    second = smoke(second_recipe, folder, "--model.pretrained", str(first / "checkpoints" / "last.ckpt"))
    for run in (first, second):
        assert len(losses(run)) == 2
        assert (run / "pictures" / "schedules.png").is_file()
        assert (run / "pictures" / "swap.gif").is_file()
        assert (run / "config.yaml").is_file()
        for name in ("best", "last"):
            carries = "fitted" in torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
            assert carries == (run == second)
    assert (second / "pictures" / "samples_fitted.gif").is_file()
    before = torch.load(first / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    after = torch.load(second / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    frozen = {name: value for name, value in after.items() if name.startswith("net.frames.") and "tau" not in name}
    assert frozen
    for name, value in frozen.items():
        assert torch.equal(value, before[name.replace("net.frames.", "net.")])


@pytest.mark.parametrize(
    "recipe",
    ["vdsm/compact/pendulum_pretrain", pytest.param("vdsm/compact/sprites_pretrain", marks=pytest.mark.thorough)],
)
def test_a_test_ends_with_numbers_and_pictures(recipe: str, trained: Callable[[str], Path], folder: Path):
    run = trained(recipe)
    smoke(recipe, folder, "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), command="test")
    written = run / "test" / "latest"
    results = ResultSet.read(written / "results.json").values
    factor = "identity" if "pendulum" in recipe else "hair"
    assert {"psnr", "experts_used", f"{factor}_from_s", f"swapped_{factor}", "action_from_s"} <= results.keys()
    assert all(0 <= results[name] <= 1 for name in results if "_from_" in name or name.startswith("swapped_"))
    assert (written / "pictures" / "reconstruction.png").is_file()


def test_predict_writes_the_latents_as_arrays(trained: Callable[[str], Path], folder: Path):
    recipe = "vdsm/compact/pendulum_pretrain"
    run = trained(recipe)
    smoke(recipe, folder, "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), command="predict")
    with np.load(run / "predict" / "latest" / "latents-0.npz") as arrays:
        n = len(arrays["clip"])
        assert arrays["s"].shape == (n, 8)
        assert arrays["z"].shape == (n, 16, 8)
        assert sorted(arrays["clip"]) == list(range(n))
        assert set(arrays["identity"]) <= set(range(8))


def test_no_recipe_is_left_out():
    others = {*GLASS, *DISCRETE, *TRIVIAL, *DSVAE}
    staged = set(RECIPES) - others
    assert {recipe.rsplit("_", 1)[0] for recipe in staged} == {recipe.rsplit("_", 1)[0] for recipe in PRETRAINED}


@pytest.mark.parametrize(("recipe", "hidden"), [("w_sprites", 32), ("bair", 32), ("tennis", 64)])
def test_the_papers_rnns_are_twice_as_wide_in_the_middle(recipe: str, hidden: int):
    lines = CommandLines("fit", ["--config", str(EXPERIMENTS / "glass" / f"{recipe}.yaml")])
    lma = lines.config[lines.command].model.init_args.lma
    assert (lma.hidden, lma.hidden_middle) == (hidden, 2 * hidden)


@pytest.mark.parametrize("recipe", GLASS)
def test_glass_takes_a_step_of_each_phase(recipe: str, folder: Path):
    run = smoke(recipe, folder)
    first, second = rows(run)
    assert first["train/recj"]
    assert not first["train/recu"]
    assert second["train/recu"]
    assert second["schedule/T_f"]
    assert (run / "pictures" / "schedules.png").is_file()
    assert (run / "pictures" / "layers.png").is_file()
    assert (run / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.parametrize("recipe", DISCRETE)
def test_a_model_of_one_action_a_frame_takes_its_steps(recipe: str, folder: Path):
    run = smoke(recipe, folder)
    assert len(losses(run)) == 2
    assert (run / "pictures" / "local_actions.png").is_file()
    assert (run / "checkpoints" / "best.ckpt").is_file()


OF_BOTH_MODELS = ("single_decoder", "gumbel")
"""Ablations that `make test` trains, too."""
OF_STAGE_2 = {
    "anonymous_dynamics",
    "dynamics_from_half",
    "first_pose_from_d",
    "motions",
    "overshooting",
    "transition_memory",
}
"""Ablations that change stage 2 alone."""
ABLATIONS = [
    pytest.param(
        file,
        f"vdsm/pendulum_{'sequence' if file.stem in OF_STAGE_2 else 'pretrain'}"
        if file.parents[1] == EXPERIMENTS
        else "glass/w_sprites",
        id=file.stem,
        marks=() if file.stem in OF_BOTH_MODELS else pytest.mark.thorough,
    )
    for file in sorted(EXPERIMENTS.rglob("ablations/*.yaml"))
]


@pytest.mark.parametrize(("file", "recipe"), ABLATIONS)
def test_every_ablation_is_an_overlay_of_at_most_five_lines(
    file: Path, recipe: str, folder: Path, trained: Callable[[str], Path]
):
    lines = [line for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 5
    name = f"ablation/{file.stem}"
    more = []
    if file.stem in OF_STAGE_2:
        more = ["--model.pretrained", str(trained("vdsm/pendulum_pretrain") / "checkpoints" / "last.ckpt")]
    smoke(recipe, folder, "--config", str(file), "--run.name", name, *more)
    assert (folder / "runs" / name / "latest" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("missing.ckpt", "no such checkpoint"),
        ("truncated.ckpt", "not a whole checkpoint"),
        ("wide.ckpt", "does not fit this model"),
    ],
)
def test_a_stage_1_that_does_not_fit_is_named(
    wrong: str, complaint: str, trained: Callable[[str], Path], folder: Path, capsys: pytest.CaptureFixture[str]
):
    file = folder / wrong
    content = (trained("vdsm/compact/pendulum_pretrain") / "checkpoints" / "last.ckpt").read_bytes()
    if wrong == "truncated.ckpt":
        file.write_bytes(content[: len(content) // 2])
    elif wrong == "wide.ckpt":
        file.write_bytes(content)
    arguments = [
        "fit",
        *("--config", str(EXPERIMENTS / "vdsm" / "compact" / "pendulum_sequence.yaml")),
        *("--config", str(EXPERIMENTS / "smoke" / "run.yaml")),
        *("--run.dir", str(folder / "runs"), "--data.root", str(folder / "data")),
        *("--model.pretrained", str(file), "--model.sizes.kappa_z", "9"),
    ]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert str(file) in error
    assert complaint in error
