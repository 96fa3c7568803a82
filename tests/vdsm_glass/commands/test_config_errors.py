"""A key or value that means nothing is named in full, with its file and the nearest that would."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger

from tests.runs import write_recipe
from vdsm_glass import recipes
from vdsm_glass.cli import main
from vdsm_glass.commands.config_errors import ConfigError, class_homes, leaves
from vdsm_glass.sweeps.check import CommandLines

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
OPTIONS = {
    LightningModule: "model",
    LightningDataModule: "data",
    Callback: "trainer.callbacks",
    Logger: "trainer.logger",
}


def annealing(**schedules: dict) -> dict:
    """A config with one callback."""
    return {"trainer": {"callbacks": [{"class_path": "callbacks.KLAnnealing", "init_args": schedules}]}}


IN_FILES = [
    ({"trainer": {"max_epoch": 3}}, "`trainer.max_epoch`", "'trainer.max_epochs'"),
    ({"modle": {}}, "`modle`", "'model'"),
    ({"modle": {"width": 3}}, "`modle`", "'model'"),
    ({"model": {"init_args": {"wdth": 3}}}, "`model.init_args.wdth`", "'width'"),
    ({"model": {"init_arg": {"width": 3}}}, "`model.init_arg`", "'init_args'"),
    ({"model": {"class_path": "tests.runs.Nosy"}}, "'tests.runs.Nosy'", "'Noisy'"),
    ({"model": {"class_path": "vdsm_glass.vdms.VDSMPretrain"}}, "'vdsm_glass.vdms.VDSMPretrain'", "'vdsm'"),
    ({"model": {"class_path": "vdsm_glas.vdsm.VDSMPretrain"}}, "'vdsm_glas.vdsm.VDSMPretrain'", "'vdsm_glass'"),
    ({"model": {"class_path": "VDSMPretrian"}}, "'VDSMPretrian'", "'vdsm_glass.vdsm.VDSMPretrain'"),
    ({"data": {"init_args": {"batchsize": 2}}}, "`data.init_args.batchsize`", "'batch_size'"),
    ({"checkpoint": {"moniter": "x"}}, "`checkpoint.moniter`", "'checkpoint.monitor'"),
    ({"run": {"nam": "x"}}, "`run.nam`", "'run.name'"),
    ({"trainer": {"logger": {"class_path": "CSVLoger"}}}, "'CSVLoger'", "'lightning.pytorch.loggers.CSVLogger'"),
    (
        {"trainer": {"callbacks+": [{"class_path": "callbacks.KLAnealing"}]}},
        "'callbacks.KLAnealing'",
        "'KLAnnealing'",
    ),
    (annealing(tau_z={"knots": [[0, 1]]}), "`trainer.callbacks.init_args.tau_z`", "'tau_s'"),
    (annealing(tau_s={"nots": [[0, 1]]}), "`trainer.callbacks.init_args.tau_s.nots`", "'knots'"),
    (
        {"model": {"class_path": "vdsm_glass.vdsm.VDSMPretrain", "init_args": {"sizes": {"kapa_s": 3}}}},
        "`model.init_args.sizes.kapa_s`",
        "'kappa_s'",
    ),
]


def complaint(folder: Path, capsys: pytest.CaptureFixture, *more: str) -> str:
    """What `fit` says, which must be one line, and must not make a run."""
    assert main(["fit", "--config", str(write_recipe(folder)), "--run.dir", str(folder / "runs"), *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vdsm-glass: error: ")
    assert len(said.splitlines()) == 1
    assert not (folder / "runs").exists()
    return said


@pytest.mark.parametrize(("content", "key", "nearest"), IN_FILES)
def test_a_misspelt_key_of_a_file(content: dict, key: str, nearest: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(content), encoding="utf-8")
    said = complaint(tmp_path, capsys, "--config", str(overlay))
    assert key in said
    assert f"did you mean {nearest}?" in said
    assert str(overlay) in said


@pytest.mark.parametrize(
    ("option", "key", "nearest"),
    [
        ("--trainer.max_epoch=3", "`trainer.max_epoch`", "'trainer.max_epochs'"),
        ("--model.wdth=3", "`model.wdth`", "'width'"),
        ("--modle.width=3", "`modle.width`", "'model'"),
        ("--ckpt_pth=x", "`ckpt_pth`", "'ckpt_path'"),
        ("--nan_guard.skp=3", "`nan_guard.skp`", "'nan_guard.skip'"),
    ],
)
def test_a_misspelt_option(option: str, key: str, nearest: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    said = complaint(tmp_path, capsys, option)
    assert f"there is no key {key}; did you mean {nearest}?" in said
    assert "(in " not in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trainer.max_epochs=many", "`trainer.max_epochs` is 'many', expected int or null"),
        ("--data.batch_size=two", "`data.batch_size` is 'two', expected int"),
        ("--checkpoint.mode=least", "`checkpoint.mode` is 'least', expected 'min', 'max'"),
        ("--trainer.default_root_dir=x", "choose it by --run.dir and --run.name"),
    ],
)
def test_a_value_of_the_wrong_kind(option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert said in complaint(tmp_path, capsys, option)


def test_a_value_of_the_wrong_kind_is_found_in_its_file(tmp_path: Path, capsys: pytest.CaptureFixture):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data: {init_args: {batch_size: two}}", encoding="utf-8")
    said = complaint(tmp_path, capsys, "--config", str(overlay))
    assert f"`data.init_args.batch_size` (in {overlay}) is 'two', expected int" in said


def test_no_recipe_at_all(capsys: pytest.CaptureFixture):
    assert main(["fit"]) == 2
    assert "the config says nothing about: data, model; give a recipe" in capsys.readouterr().err


def nameable() -> dict[str, str]:
    """The option that takes it, for the dotted path of every class that a recipe names or can name."""
    paths = {f"{home}.{name}" for name, home in class_homes().items()}
    for file in EXPERIMENTS.rglob("*.yaml"):
        paths |= {str(value) for keys, value in leaves(recipes.read(file)) if keys[-1:] == ("class_path",)}
    found = {}
    for path in sorted(paths):
        module, _, name = path.rpartition(".")
        kind = getattr(import_module(module), name)
        for base, option in OPTIONS.items():
            if isinstance(kind, type) and issubclass(kind, base):
                found[path] = option
    return found


def test_every_class_that_a_recipe_can_name_is_suggested_when_its_last_letter_is_missing(tmp_path: Path):
    classes = nameable()
    assert set(classes.values()) == set(OPTIONS.values())
    assert {"vdsm_glass.glass.GLASSModule", "data_modules.Tennis", "callbacks.KLAnnealing"} <= set(classes)
    recipe = ["--config", str(write_recipe(tmp_path))]
    parser = CommandLines("fit", recipe)
    wrong = {}
    for path, option in classes.items():
        name = path.rpartition(".")[2]
        for misspelt, nearest in ((path[:-1], name), (name[:-1], path)):
            with pytest.raises(ConfigError) as caught:
                parser.parsed([*recipe, f"--{option}={misspelt}"])
            said = str(caught.value)
            if f"{misspelt!r}" not in said or f"did you mean {nearest!r}?" not in said:
                wrong[misspelt] = said
    assert not wrong


def test_what_a_model_says_when_it_is_made(tmp_path: Path, capsys: pytest.CaptureFixture):
    """It is all that is said, though jsonargparse wraps it in an error that prints every option."""
    overlay = tmp_path / "overlay.yaml"
    model = {"class_path": "vdsm_glass.vdsm.VDSMPretrain", "init_args": {"sizes": {}, "contrast": {"steps": 1}}}
    overlay.write_text(yaml.safe_dump({"model": model}), encoding="utf-8")
    recipe = str(write_recipe(tmp_path))
    assert main(["fit", "--config", recipe, "--config", str(overlay), "--run.dir", str(tmp_path / "runs")]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vdsm-glass: error: ")]
    assert said == [
        (
            "vdsm-glass: error: contrast fixes what infers s, but poses need the same convolutions; set "
            "model.init_args.sizes.identity_encoder to true"
        )
    ]
