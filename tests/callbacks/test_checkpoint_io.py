"""A checkpoint file is whole at every moment."""

import os
import signal
from pathlib import Path

import pytest
import torch

from callbacks.checkpoint_io import AtomicCheckpointIO, remove_leftovers
from vdsm_glass.checkpoints import CheckpointError

CONTENT = {"state_dict": {"weight": torch.arange(4.0)}, "epoch": 3}


def die_half_way(content: object, stream) -> None:
    """Writes what looks like the beginning of a checkpoint, and is killed."""
    stream.write(b"PK\x03\x04")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_saved_is_read_back(tmp_path: Path):
    file = tmp_path / "new" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, file)
    read = AtomicCheckpointIO().load_checkpoint(file)
    assert read["epoch"] == 3
    assert torch.equal(read["state_dict"]["weight"], torch.arange(4.0))
    assert [file.name for file in file.parent.iterdir()] == ["last.ckpt"]


# The child touches nothing that other threads may hold.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, file)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(torch, "save", die_half_way)
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, file)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert AtomicCheckpointIO().load_checkpoint(file)["epoch"] == 3
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, file)

    def fail(content: object, stream) -> None:
        try:
            raise OSError(28, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")  # as PyTorch does when it closes its file

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match=r"No space left.*last\.ckpt"):
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, file)
    assert list(tmp_path.iterdir()) == [file]
    assert AtomicCheckpointIO().load_checkpoint(file)["epoch"] == 3


def test_code_in_a_checkpoint_is_not_run_even_if_lightning_asks_for_it(tmp_path: Path):
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "trap": Path("x")}, file)
    with pytest.raises(CheckpointError, match="cannot be read safely"):
        AtomicCheckpointIO().load_checkpoint(file, weights_only=False)


def test_removing_what_is_not_there_is_no_error(tmp_path: Path):
    AtomicCheckpointIO().remove_checkpoint(tmp_path / "none.ckpt")


def test_storage_options_are_refused(tmp_path: Path):
    with pytest.raises(TypeError, match="takes no storage_options"):
        AtomicCheckpointIO().save_checkpoint(CONTENT, tmp_path / "last.ckpt", storage_options={"a": 1})
