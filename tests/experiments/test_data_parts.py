"""Every data part is understood and gives the batches that it says; the commands know every dataset's options."""

from pathlib import Path

import pytest
import yaml

import data_modules
from data_modules import DATASETS
from data_modules.base import VideoDataModule
from data_modules.drawings.tiny_video import write_match
from vdsm_glass.cli import main

PARTS = sorted((Path(__file__).resolve().parents[2] / "experiments" / "parts" / "data").glob("*.yaml"))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.stem)
def test_a_data_part_gives_the_batches_that_it_says(part: Path, tmp_path: Path):
    content = yaml.safe_load(part.read_text("utf-8"))
    assert content.keys() == {"data"}
    package, _, name = content["data"]["class_path"].rpartition(".")
    assert package == "data_modules"
    assert name in data_modules.__all__
    options = content["data"]["init_args"]
    module = getattr(data_modules, name)(root=str(tmp_path), tiny=True, **options)
    assert isinstance(module, VideoDataModule)
    assert DATASETS[part.stem].endswith(f".{name}")
    module.prepare_data()
    height, width = options["size"] if isinstance(options["size"], list) else [options["size"]] * 2
    frames = options.get("clip_length", module.clip_length)
    batch = next(iter(module.train_dataloader())).decoded()
    assert batch.video.shape == (options.get("batch_size", module.batch_size), frames, 3, height, width)
    assert next(iter(module.val_dataloader())).video.shape[1] == options.get("eval_clip_length", frames)


@pytest.mark.parametrize("command", ["prepare", "show"])
@pytest.mark.parametrize("name", DATASETS)
def test_options_of_datasets_and_commands_do_not_clash(command: str, name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main([command, name, "--help"])
    assert end.value.code == 0
    assert "--clip_length" in capsys.readouterr().out


def test_tennis_is_prepared_from_match_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "matches").mkdir()
    write_match(tmp_path / "matches", 12, 81)
    where = ["--videos", str(tmp_path / "matches"), "--annotations", str(tmp_path / "matches" / "annotations.csv")]
    arguments = ["tennis", "--root", str(tmp_path), *where, "--clip_length", "2", "--workers", "0"]
    assert main(["prepare", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "train" in printed
    assert str(4 * 12) in printed
    assert str(2 * 16) in printed
