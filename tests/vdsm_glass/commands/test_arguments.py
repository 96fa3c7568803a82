"""Whole numbers and sizes are written alike wherever a command takes them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from data_modules.drawings.tiny_video import write_pictures
from vdsm_glass.cli import main
from vdsm_glass.commands import arguments, generate, play
from vdsm_glass.commands.arguments import frame_size, join_sizes, whole_number
from vdsm_glass.commands.clips import dataset
from vdsm_glass.metrics.results import RESULTS, ResultSet

SPELLINGS = [(["16"], (16, 16)), (["16", "24"], (16, 24)), (["[16, 24]"], (16, 24)), (["[16,24]"], (16, 24))]
RECIPES = Path(__file__).parents[3] / "experiments"

each_spelling = pytest.mark.parametrize(("words", "size"), SPELLINGS, ids=str)


def test_two_numbers_become_one_word_behind_a_size_alone() -> None:
    line = ["--size", "1", "2", "--data.size", "3", "4", "--data.init_args.size", "5", "6", "--clips", "7", "8"]
    joined = ["--size", "[1, 2]", "--data.size", "[3, 4]", "--data.init_args.size", "[5, 6]", "--clips", "7", "8"]
    assert join_sizes(line) == joined == join_sizes(joined)
    assert join_sizes(["--size", "1", "2", "3"]) == ["--size", "[1, 2]", "3"]
    assert join_sizes(["--size", "1", "--size", "2"]) == ["--size", "1", "--size", "2"]
    assert join_sizes(["5", "--size"]) == ["5", "--size"]


@pytest.mark.parametrize("text", ["", "0", "0,4", "[4, 0]", "-4", "4x4", "1, 2, 3", "two"])
def test_what_is_not_a_size_is_named(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a size; expected 64, or height and width: 96 128"):
        frame_size(text)


def test_whole_numbers_have_bounds() -> None:
    assert [whole_number()("1"), whole_number(0)("0"), whole_number(2, 3)("3")] == [1, 0, 3]
    for kind, text in (
        (whole_number(), "0"),
        (whole_number(), "1.0"),
        (whole_number(), "-1"),
        (whole_number(2, 3), "4"),
    ):
        with pytest.raises(ArgumentTypeError, match="is not a whole number"):
            kind(text)


@each_spelling
def test_prepare_and_show(words: list[str], size: tuple[int, int], tmp_path: Path) -> None:
    options = ["--root", str(tmp_path), "--tiny", "--frames", "4", "--colours", "2", "--clip_length", "2"]
    assert main(["prepare", "pendulum", *options, "--size", *words]) == 0
    assert main(["show", "pendulum", *options, "--out", str(tmp_path / "out"), "--size", *words]) == 0
    (manifest,) = tmp_path.glob("stores/*/manifest.json")
    source = yaml.safe_load(manifest.read_text())["source"]
    assert (source["height"], source["width"]) == size


@each_spelling
def test_score(words: list[str], size: tuple[int, int], tmp_path: Path) -> None:
    for side in ("real", "made"):
        write_pictures(tmp_path / side / "a", np.zeros((3, 20, 30, 3), np.uint8))
    out = tmp_path / "out"
    line = ["score", str(tmp_path / "real"), str(tmp_path / "made"), "--metrics", "mse", "--out", str(out)]
    assert main([*line, "--size", *words]) == 0
    protocol = ResultSet.read(out / RESULTS).results["mse"].protocol
    assert (protocol.height, protocol.width) == size


@each_spelling
def test_behind_data_in_generate(words: list[str], size: tuple[int, int]) -> None:
    line = ["model.ckpt", "--data", "pendulum", "--tiny", "--size", *words, "--out", "made.gif", "--colours", "3"]
    options, of_dataset = generate.parse("swap", line)
    module: Any = dataset(SimpleNamespace(size=(8, 8)), options.model, options.data, of_dataset)  # pyright: ignore[reportArgumentType]
    assert (module.height, module.width, module.colours, module.tiny) == (*size, 3, True)
    assert options.out == Path("made.gif")


@each_spelling
def test_behind_data_in_play(words: list[str], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened(Exception):  # noqa: N818
        """The page would be made now."""

    def add_page(checkpoint: Path, data: str, options: list[str], *, address: str) -> None:
        module = arguments.parse("play", [data, *options])[0]
        assert (module.height, module.width) == size
        assert address == "/"
        raise Opened

    monkeypatch.setattr(play, "add_page", add_page)
    with pytest.raises(Opened):
        play.main(["model.ckpt", "--data", "pendulum", "--tiny", "--size", *words])


@pytest.mark.parametrize("option", ["--data.size", "--data.init_args.size"])
def test_fit(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(RECIPES / "vdsm" / "pendulum_pretrain.yaml")
    assert main(["fit", "--config", recipe, option, "96", "128", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]["size"] == [96, 128]


def test_a_third_number_and_a_negative_count_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, said in (("--size 1 2 3", "3"), ("--clips -1", "clips"), ("--shown_frames 0", "shown_frames")):
        with pytest.raises(SystemExit) as end:
            main(["show", "pendulum", "--root", str(tmp_path), "--tiny", *more.split()])
        assert end.value.code == 2
        assert said in capsys.readouterr().err
