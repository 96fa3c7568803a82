"""From a run to a network and its clips; what cannot be played is said before any page opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data_modules.common.errors import UserError
from tests.vdsm_glass.generate.small import KINDS, checkpoint
from tests.vdsm_glass.play.small import glass_checkpoint, small_glass, small_vdsm, vdsm_checkpoint
from vdsm_glass.api import load
from vdsm_glass.checkpoints import CheckpointError
from vdsm_glass.commands import play
from vdsm_glass.commands.clips import data_of_run, dataset
from vdsm_glass.export import export
from vdsm_glass.play.clips import clips_to_play, different


def test_a_checkpoint_gives_back_its_network(tmp_path: Path):
    wanted = {"g": small_glass(), "v": small_vdsm(), "f": small_vdsm().frames}
    paths = {
        "g": glass_checkpoint(tmp_path / "g"),
        "v": vdsm_checkpoint(tmp_path / "v"),
        "f": vdsm_checkpoint(tmp_path / "f", stage=1),
    }
    for name, path in paths.items():
        found = load(path).network
        assert type(found) is type(wanted[name])
        assert not found.training
        for key, value in wanted[name].state_dict().items():
            assert torch.equal(found.state_dict()[key].cpu(), value), key


def test_clips_differ_in_what_they_are_chosen_by(tmp_path: Path):
    path = vdsm_checkpoint(tmp_path)
    model, module = load(path), data_of_run(tmp_path)
    people = clips_to_play(model, module, by="identity", most=2)
    deeds = clips_to_play(model, module, by="action", most=9)
    assert len({clip.identity for clip in people}) == len(people) == 2
    assert len({clip.action for clip in deeds}) == len(deeds) > 2
    assert people[0].video.shape == (6, 3, 16, 16)


def test_chosen_labels_are_spread_over_all_and_unknown_ones_all_differ():
    assert different(np.array([3, 3, 0, 0, 7, 9, 9]), 2) == [2, 5]
    assert different(np.array([3, 3, 0, 0, 7, 9, 9]), 9) == [2, 0, 4, 5]
    assert sorted(different(np.array([-1, -1, 2, -1]), 9)) == [0, 1, 2, 3]


def bad_checkpoint(folder: Path, kind: str) -> Path:
    """A checkpoint with one thing wrong."""
    path = glass_checkpoint(folder)
    content = torch.load(path, weights_only=True)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:2000])
        return path
    if kind == "foreign":
        content["hyper_parameters"] = {"layers": 3}
    if kind == "no_parameters":
        del content["hyper_parameters"]
    if kind == "sizes":
        content["hyper_parameters"]["lma"]["hidden"] = 5
    if kind == "unknown_size":
        content["hyper_parameters"]["lma"]["colour"] = 5
    if kind == "no_weights":
        del content["state_dict"]
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut", "not a whole checkpoint"),
        ("foreign", "does not hold a network"),
        ("no_parameters", "does not hold a network"),
        ("unknown_size", "does not hold a network"),
        ("sizes", r"does not hold a network.*has shape"),
        ("no_weights", "holds no state_dict"),
    ],
)
def test_a_bad_checkpoint_is_one_error_before_the_page_opens(tmp_path: Path, kind: str, error: str):
    path = bad_checkpoint(tmp_path, kind)
    with pytest.raises(CheckpointError, match=error) as raised:
        play.main([str(path), "--no-browser"])
    assert str(raised.value).startswith(f"{path}: ")


def test_a_missing_checkpoint_or_run_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        play.main([str(tmp_path / "none.ckpt")])
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes(vdsm_checkpoint(tmp_path / "run").read_bytes())
    with pytest.raises(UserError, match=r"VDSM is played with clips.*lies in no run.*--data NAME"):
        play.main([str(alone)])


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_folder_is_played_with_the_data_that_is_named(tmp_path: Path, kind: str):
    folder = export(checkpoint(kind, tmp_path / "run"), tmp_path / "out")
    data = "w_sprites" if kind == "glass" else "pendulum"
    play.add_page(folder, data, ["--root", str(tmp_path / "data"), "--tiny"])
    if kind == "glass":
        play.add_page(folder, None, [])  # people bring pictures
    else:
        with pytest.raises(UserError, match=r"lies in no run.*--data NAME"):
            play.add_page(folder, None, [])


@pytest.mark.parametrize(
    "data", ["data: 3", "model: 3", "data: {class_path: os.system}", "data: {class_path: data_modules.NoSuch}", "]["]
)
def test_a_config_that_names_no_data_is_an_error(tmp_path: Path, data: str):
    path = glass_checkpoint(tmp_path)
    (tmp_path / "config.yaml").write_text(data, encoding="utf-8")
    with pytest.raises(UserError, match="does not say which data to use"):
        play.main([str(path)])


def test_clips_of_another_size_are_brought_to_the_models(tmp_path: Path):
    for path, size in ((vdsm_checkpoint(tmp_path / "v"), (16, 16)), (glass_checkpoint(tmp_path / "g"), (32, 48))):
        model = load(path)
        module = dataset(model, path, "pendulum", ["--root", str(tmp_path), "--tiny", "--size", "40"])
        assert clips_to_play(model, module, by="identity", most=2)[0].video.shape[-2:] == size


def test_options_of_no_dataset_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        play.main([str(tmp_path / "x.ckpt"), "--root", "there"])
    assert end.value.code == 2
    assert "--data NAME" in capsys.readouterr().err
