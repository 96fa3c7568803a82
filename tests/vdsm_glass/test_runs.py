"""Run folders: one for each start, whoever starts at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_modules.common.errors import UserError
from vdsm_glass import runs


def start(
    folder: Path, command: str = "fit", ckpt_path: str | None = None, version: int | None = None
) -> runs.RunPaths:
    options = runs.RunOptions(dir=str(folder), name="toy", version=version)
    return runs.RunPaths(command=command, options=options, ckpt_path=ckpt_path)


def checkpoint(folder: Path, version: int, name: str = "last") -> Path:
    """A run with a checkpoint."""
    file = folder / "toy" / f"version_{version}" / "checkpoints" / f"{name}.ckpt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    (file.parents[1] / "config.yaml").touch()
    return file


def test_processes_that_start_together_get_folders_of_their_own(tmp_path: Path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: runs.new_version(tmp_path / "toy"), range(64)))
    assert {folder.name for folder in folders} == {f"version_{number}" for number in range(64)}


def test_versions_are_counted_as_numbers_and_never_reused(tmp_path: Path):
    for version in (2, 10):
        checkpoint(tmp_path, version)
    (tmp_path / "toy" / "version_x").mkdir()
    assert [folder.name for folder in runs.versions(tmp_path / "toy")] == ["version_10", "version_2"]
    assert runs.new_version(tmp_path / "toy").name == "version_11"


def test_a_version_may_be_chosen_but_not_taken_over(tmp_path: Path):
    assert start(tmp_path, version=0).make_folder().name == "version_0"
    assert start(tmp_path, version=7).make_folder().name == "version_7"
    with pytest.raises(UserError, match="version_7: this version exists already"):
        start(tmp_path, version=7).make_folder()


def test_latest_moves_to_the_newest_run(tmp_path: Path):
    for _ in range(2):
        folder = start(tmp_path).make_folder()
        runs.link_latest(folder)
        assert (tmp_path / "toy" / "latest").resolve() == folder.resolve()
        assert not (tmp_path / "toy" / "latest").readlink().is_absolute()


def test_last_goes_on_in_the_newest_version(tmp_path: Path):
    files = [checkpoint(tmp_path, version) for version in (0, 1)]
    begun = start(tmp_path, ckpt_path="last")
    assert begun.checkpoint == files[1]
    assert begun.resumes
    assert begun.make_folder() == tmp_path / "toy" / "version_1"
    assert start(tmp_path, ckpt_path="last", version=0).checkpoint == files[0]


def test_last_never_takes_up_an_older_run_by_itself(tmp_path: Path):
    files = [checkpoint(tmp_path, version) for version in (0, 1)]
    (tmp_path / "toy" / "version_2").mkdir()
    (tmp_path / "toy" / "version_3").mkdir()
    with pytest.raises(UserError, match=r"version_3: .* has no checkpoint .* resume version_1 .* --run.version 1; "):
        start(tmp_path, ckpt_path="last")
    begun = start(tmp_path, ckpt_path="last", version=1)
    assert begun.checkpoint == files[1]
    assert begun.make_folder() == tmp_path / "toy" / "version_1"
    # What is only read may come from an older run.
    assert start(tmp_path, "test", ckpt_path="last").checkpoint == files[1]


def test_last_without_a_checkpoint_starts_from_the_beginning_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture):
    begun = start(tmp_path, ckpt_path="last")
    assert begun.checkpoint is None
    assert not begun.resumes
    assert begun.make_folder().name == "version_0"
    # A run that was killed before its first checkpoint is no other run that could be taken up.
    begun = start(tmp_path, ckpt_path="last")
    assert begun.checkpoint is None
    assert begun.make_folder().name == "version_1"
    assert "starting from the beginning" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "word"), [("test", "last"), ("fit", "best")])
def test_there_is_nothing_to_test_before_training(command: str, word: str, tmp_path: Path):
    with pytest.raises(UserError, match=rf"no version has a checkpoints/{word}.ckpt"):
        start(tmp_path, command, ckpt_path=word)


def test_what_is_tested_lands_beside_its_checkpoint(tmp_path: Path):
    file = checkpoint(tmp_path, 0, "best")
    for number in range(2):
        begun = start(tmp_path, "test", ckpt_path=str(file))
        assert begun.make_folder() == tmp_path / "toy" / "version_0" / "test" / f"version_{number}"
        assert begun.run_folder == tmp_path / "toy" / "version_0"


def test_a_checkpoint_from_elsewhere_is_tested_under_the_recipe(tmp_path: Path):
    begun = start(tmp_path, "test", ckpt_path=str(tmp_path / "downloaded.ckpt"))
    assert begun.make_folder() == tmp_path / "toy" / "test" / "version_0"


def test_a_fit_from_a_given_checkpoint_is_a_run_of_its_own(tmp_path: Path):
    begun = start(tmp_path, ckpt_path=str(checkpoint(tmp_path, 0)))
    assert not begun.resumes
    assert begun.make_folder().name == "version_1"


def test_only_an_empty_folder_is_discarded(tmp_path: Path):
    folder = start(tmp_path).make_folder()
    (folder / "metrics.csv").touch()
    runs.discard_if_empty(folder)
    assert folder.is_dir()
    (folder / "metrics.csv").unlink()
    runs.discard_if_empty(folder)
    assert not folder.exists()
