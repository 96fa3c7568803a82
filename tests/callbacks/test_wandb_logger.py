"""W&B never asks, never waits, and a resumed run goes on in the same W&B run."""

from pathlib import Path

import pytest

from callbacks.wandb_logger import chosen_mode, has_account
from tests.runs import SIGNAL, run_alone, write_recipe

LOGGERS = "trainer: {logger: [{class_path: callbacks.RunCSVLogger}, {class_path: callbacks.RunWandbLogger}]}"


@pytest.fixture
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any trace of W&B; the test's folder."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_an_account_it_is_offline(no_account: Path):
    assert chosen_mode() == "offline"


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_a_key_in_the_environment_is_an_account(name: str, no_account: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "x")
    assert chosen_mode() == "online"


def test_wandb_mode_decides(no_account: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert chosen_mode() == "disabled"


@pytest.mark.parametrize(("host", "found"), [("api.wandb.ai", True), ("api.example.org", False)])
def test_a_login_is_found_in_the_netrc_file(host: str, found: bool, no_account: Path):
    file = no_account / ".netrc"
    file.write_text(f"machine {host}\n  login user\n  password x\n", encoding="utf-8")
    file.chmod(0o600)
    assert has_account() == found


def test_an_own_server_has_its_own_login(no_account: Path, monkeypatch: pytest.MonkeyPatch):
    file = no_account / "logins"
    file.write_text("machine wandb.example.org\n  login user\n  password x\n", encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert not has_account()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert has_account()


def test_a_netrc_file_that_cannot_be_read_is_named(no_account: Path, capsys: pytest.CaptureFixture):
    (no_account / ".netrc").write_text("machin oops", encoding="utf-8")
    assert not has_account()
    assert ".netrc cannot be read" in capsys.readouterr().err


def logged(folder: Path) -> list[str]:
    """Options of a small run that writes to W&B, below `folder`."""
    overlay = folder / "wandb.yaml"
    overlay.write_text(LOGGERS, encoding="utf-8")
    configs = ["--config", str(write_recipe(folder)), "--config", str(overlay)]
    return [*configs, "--run.dir", str(folder / "runs")]


def test_an_interrupted_run_goes_on_in_the_same_wandb_run_and_its_test_joins_it(no_account: Path):
    options = logged(no_account)
    fit = ["fit", *options, "--trainer.max_epochs", "1", "--checkpoint.every_n_train_steps", "2", "--ckpt_path", "last"]
    assert run_alone(*fit, environment={SIGNAL: "SIGKILL@5"}) != 0
    run = no_account / "runs" / "toy" / "version_0"
    wandb_id = (run / "wandb_id").read_text("utf-8").strip()
    assert run_alone(*fit) == 0
    assert (run / "wandb_id").read_text("utf-8").strip() == wandb_id
    assert run_alone("test", *options, "--ckpt_path", "last") == 0
    assert len(list((run / "wandb").glob(f"offline-run-*-{wandb_id}"))) == 2
    assert len(list((run / "test" / "version_0" / "wandb").glob(f"offline-run-*-{wandb_id}"))) == 1


@pytest.mark.thorough
def test_a_server_that_cannot_be_reached_is_not_waited_for(no_account: Path):
    options = logged(no_account)
    nowhere = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    assert run_alone("fit", *options, "--trainer.max_epochs", "1", environment=nowhere) == 0
    assert list((no_account / "runs" / "toy" / "version_0" / "wandb").glob("offline-run-*"))
