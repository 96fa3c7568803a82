"""The models that ship: small, whole, with their numbers and credits; and the way into the box."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from data_modules.common.errors import DataError, UserError
from tests.vdsm_glass.play.small import glass_checkpoint
from vdsm_glass.api import load
from vdsm_glass.box import put as tool
from vdsm_glass.box.clips import read_clips, write_clips
from vdsm_glass.box.place import HOME, called, located, names
from vdsm_glass.cli import main
from vdsm_glass.commands.play import to_play
from vdsm_glass.export import WEIGHTS
from vdsm_glass.metrics.results import NotComputed, Protocol, Result, ResultSet
from vdsm_glass.play.clips import NamedClip, clips_to_play


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run that was tested."""
    path = glass_checkpoint(tmp_path_factory.mktemp("box") / "run")
    book = ResultSet()
    on = Protocol(split="test", clips=7, frames=6, height=32, width=48)
    gap = NotComputed(name="fid", reason="/home/somebody/inception.pth is not there")
    book.add([Result(name="psnr", value=31.257, protocol=on)], [gap])
    book.write(path.parents[1] / "test" / "version_0")
    return path


def put(run: Path, box: Path, *, name: str = "mine", number: str = "psnr") -> int:
    given = ["--numbers", number, "--licence", "Ours.", "--credit", "Drawn here.", "--commit", "abc", "--box", str(box)]
    return tool.main([str(run), name, *given])


@pytest.fixture(scope="module")
def boxed(run: Path) -> Path:
    box = run.parents[2] / "made"
    box.mkdir()
    assert put(run, box) == 0
    return box / "mine"


def clips(count: int = 3) -> list[NamedClip]:
    video = torch.randint(256, (count, 4, 3, 5, 7), generator=torch.Generator().manual_seed(0)) / 255
    return [NamedClip(each, f"who {i // 2}", f"what {i}") for i, each in enumerate(video)]


def test_what_ships_is_small_whole_and_says_where_it_is_from():
    assert {"glass-w_sprites", "vdsm-pendulum", "vdsm-sprites"} <= set(names())
    assert tool.folder_bytes(HOME) <= tool.MOST_IN_ALL
    for name in names():
        folder = HOME / name
        assert tool.folder_bytes(folder) <= tool.MOST_BYTES, name
        assert {file.suffix for file in folder.iterdir()} == {".safetensors", ".json", ".md", ".webp"}
        model, found = load(name, device="cpu"), read_clips(folder)
        assert 24 <= sum(len(clip.video) for clip in found) <= 400
        assert tuple(found[0].video.shape[-2:]) == model.size
        book, page = ResultSet.read(folder / "results.json"), (folder / "README.md").read_text(encoding="utf-8")
        about = json.loads((folder / "box.json").read_text(encoding="utf-8"))
        assert set(about["numbers"]) <= set(book.values)
        for row in book.rows():
            assert f"| {row[0]} | {row[1]} |" in page
        assert about["commit"] in page
        assert about["recipe"] in page
        assert ("Lanea Zimmerman" in page) == ("sprites" in about["data"])
        assert not re.search(r"/(home|root|work|tmp)/", page + json.dumps(about) + json.dumps(book.to_json()))


def test_a_run_becomes_a_model_of_the_box(run: Path, boxed: Path, capsys: pytest.CaptureFixture[str]):
    given = clips_to_play(load(run), read_clips(boxed), by="identity", most=2)
    wanted = load(run, device="cpu").reconstruct(given[0].video)
    assert torch.equal(load(boxed, device="cpu").reconstruct(given[0].video), wanted)
    page = (boxed / "README.md").read_text(encoding="utf-8")
    for said in ("| psnr | 31.26 |", "at commit abc", "Drawn here.", "Ours.", 'load("mine")', "Lanea Zimmerman"):
        assert said in page
    assert "somebody" not in page + (boxed / "results.json").read_text(encoding="utf-8")
    content = {file.name: file.read_bytes() for file in boxed.iterdir()}
    assert put(run, boxed.parent) == 0  # again, in its place
    assert {file.name: file.read_bytes() for file in boxed.iterdir()} == content
    assert [file.name for file in boxed.parent.iterdir()] == ["mine"]


def test_what_is_not_fit_for_the_box_stays_outside(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(UserError, match=r"has no fvd; it has psnr"):
        put(run, tmp_path, number="fvd")
    with pytest.raises(UserError, match=r"no name for a model"):
        put(run, tmp_path, name="../mine")
    monkeypatch.setattr(tool, "MOST_BYTES", 20_000)
    with pytest.raises(UserError, match=r"would take 0\.\d MB, and may take 0"):
        put(run, tmp_path)
    monkeypatch.setattr(tool, "DIFFERENCE", 0.0)
    with pytest.raises(UserError, match=r"in half precision, pixels of rebuilt clips move by up to"):
        put(run, tmp_path)
    assert not list(tmp_path.iterdir())
    results = run.parents[1] / "test" / "version_0" / "results.json"
    before = results.stat()
    os.utime(results, (0, 0))
    with pytest.raises(UserError, match="this file was not tested yet"):
        put(run, tmp_path)
    os.utime(results, (before.st_atime, before.st_mtime))


def test_half_precision_is_stored_where_it_is_needed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def size(box: Path) -> int:
        box.mkdir()
        put(run, box)
        return (box / "mine" / WEIGHTS).stat().st_size

    monkeypatch.setattr(tool, "DIFFERENCE", 1.0)
    whole = size(tmp_path / "whole")
    monkeypatch.setattr(tool, "MOST_BYTES", tool.folder_bytes(tmp_path / "whole") - 100)
    assert size(tmp_path / "half") < 0.8 * whole
    assert "half precision; pixels" in (tmp_path / "half" / "mine" / "README.md").read_text(encoding="utf-8")
    load(tmp_path / "half" / "mine")


def test_clips_come_back_bit_by_bit(tmp_path: Path):
    write_clips(clips(), tmp_path)
    for there, back in zip(clips(), read_clips(tmp_path), strict=True):
        assert torch.equal(there.video, back.video)
        assert (there.identity, there.action) == (back.identity, back.action)
    assert read_clips(tmp_path / "nowhere") == []


@pytest.mark.parametrize("harm", ["cut", "names", "number", "none", "json", "gone"])
def test_damaged_clips_are_one_error(tmp_path: Path, harm: str):
    write_clips(clips(), tmp_path)
    picture, labels = tmp_path / "clips.webp", tmp_path / "clips.json"
    changes: dict[str, Any] = {
        "cut": lambda: picture.write_bytes(picture.read_bytes()[:60]),
        "names": lambda: labels.write_text('{"frames": 4, "clips": [{}, {}, {}]}', encoding="utf-8"),
        "number": lambda: labels.write_text('{"frames": 3, "clips": []}', encoding="utf-8"),
        "none": lambda: labels.write_text('{"frames": 0, "clips": [{}, {}, {}]}', encoding="utf-8"),
        "json": lambda: labels.write_text("[", encoding="utf-8"),
        "gone": picture.unlink,
    }
    changes[harm]()
    with pytest.raises(DataError, match=r"clips\.json and clips\.webp hold no clips"):
        read_clips(tmp_path)


def test_a_name_is_found_and_a_path_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert located("vdsm-pendulum") == HOME / "vdsm-pendulum"
    assert called(HOME / "vdsm-pendulum") == "vdsm-pendulum"
    assert located("missing.ckpt") == Path("missing.ckpt")  # whose reader names what lies beside it
    assert main(["play", "vdsm-pendulm"]) == 2
    assert "no model of the box; did you mean 'vdsm-pendulum'?; the box has" in capsys.readouterr().err
    Path("vdsm-pendulum").mkdir()
    assert located("vdsm-pendulum") == Path("vdsm-pendulum")
    assert "vdsm-pendulum is taken from this folder" in capsys.readouterr().err


def test_the_boxed_vdsm_samples_from_its_fitted_density():
    model = load("vdsm-pendulum", device="cpu")
    assert model.densities[0] == "fitted"
    assert model.about in (HOME / "vdsm-pendulum" / "README.md").read_text(encoding="utf-8")


def test_commands_take_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in names())
    assert (
        main(["generate", "reconstruct", "vdsm-pendulum", "--clips", "0", "3", "--out", str(tmp_path / "a.gif")]) == 0
    )
    assert main(["generate", "reconstruct", "vdsm-pendulum", "--clips", "99", "--out", str(tmp_path / "b.gif")]) == 2
    assert "comes with" in capsys.readouterr().err
    assert main(["export", "vdsm-pendulum", str(tmp_path / "out")]) == 0
    for file in (HOME / "vdsm-pendulum").iterdir():  # with its credits
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    model, found = to_play(tmp_path / "out", None, [])
    board = clips_to_play(model, found, by="action", most=6)
    assert len({clip.action for clip in board}) == len(board) > 1
