"""Recipes stand on parts: which, in which order, and what is said when one is wrong."""

from pathlib import Path

import pytest

from vdsm_glass import recipes


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    files = {
        "parts/run.yaml": "trainer: {}",
        "parts/model.yaml": "base: [run.yaml]",
        "parts/data.yaml": "base: [run.yaml]",
        "vdsm/recipe.yaml": "base: [../parts/model.yaml, ../parts/data.yaml]\nseed_everything: 1",
        "vdsm/circle.yaml": "base: [round.yaml]",
        "vdsm/round.yaml": "base: [circle.yaml]",
        "vdsm/lost.yaml": "base: [recipes.yaml]",
        "vdsm/text.yaml": "base: recipe.yaml",
        "vdsm/list.yaml": "- 1",
        "vdsm/twice.yaml": "trainer: {max_epochs: 1, max_epochs: 2}",
        "vdsm/broken.yaml": "trainer: [",
        "vdsm/empty.yaml": "",
    }
    for name, content in files.items():
        file = tmp_path / "experiments" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return tmp_path / "experiments"


def names(argv: list[str]) -> list[str]:
    return [file.stem for file in recipes.configs_in(argv)]


@pytest.mark.parametrize("form", [["--config", "{}"], ["--config={}"], ["-c", "{}"], ["-c={}"]])
def test_parts_come_before_what_stands_on_them_and_a_shared_one_once(form: list[str], experiments: Path):
    given = [word.format(experiments / "vdsm" / "recipe.yaml") for word in form]
    expanded = recipes.expand(["--seed_everything", "3", *given, "--trainer.max_epochs=2"])
    assert names(expanded) == ["run", "model", "data", "recipe"]
    assert expanded[:2] == ["--seed_everything", "3"]
    assert expanded[-1] == "--trainer.max_epochs=2"


def test_a_part_of_an_overlay_does_not_undo_the_recipe_but_a_file_given_twice_is_merged_twice(experiments: Path):
    recipe, part = experiments / "vdsm" / "recipe.yaml", experiments / "parts" / "data.yaml"
    assert names(recipes.expand(["--config", str(recipe), "--config", str(part)])) == [
        *("run", "model", "data", "recipe"),
        "data",
    ]


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("vdsm/circle.yaml", "circle.yaml -> "),
        ("vdsm/lost.yaml", "did you mean 'recipe.yaml'?"),
        ("vdsm/text.yaml", "expected a list of files"),
        ("vdsm/list.yaml", "holds a list"),
        ("vdsm/twice.yaml", "'max_epochs' is given twice"),
        ("vdsm/broken.yaml", "is not valid YAML"),
        ("vdsm/recipee.yaml", "no such recipe; did you mean 'recipe.yaml'?"),
        ("glass/recipe.yaml", "no folder"),
        ("vdsm/nope.yaml", "nope.yaml: no such recipe\n"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said_with_its_name(file: str, complaint: str, experiments: Path):
    with pytest.raises(recipes.RecipeError) as caught:
        recipes.expand(["--config", str(experiments / file)])
    assert complaint in f"{caught.value}\n"
    assert Path(file).name in str(caught.value)


def test_an_empty_recipe_says_nothing(experiments: Path):
    assert recipes.read(experiments / "vdsm" / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/experiments/vdsm/compact/sprites_pretrain.yaml", "vdsm/compact/sprites_pretrain"),
        ("/experiments/old/experiments/toy.yaml", "toy"),
        ("/tmp/mine.yaml", "mine"),
    ],
)
def test_a_recipe_is_named_by_where_it_lies(path: str, name: str):
    assert recipes.name_of(Path(path)) == name
