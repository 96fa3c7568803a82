"""The command line's words, its errors and exit codes."""

import subprocess
import sys
from importlib import import_module

import pytest

from data_modules.common.errors import DataError
from vdsm_glass import cli


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    for word, command in cli.COMMANDS.items():
        assert f"{word} " in said
        assert command.about in said


def test_no_command_shows_how_to_use_it(capsys: pytest.CaptureFixture[str]):
    assert cli.main([]) == 2
    assert "usage: vdsm-glass COMMAND" in capsys.readouterr().err


def test_every_command_leads_somewhere():
    for command in cli.COMMANDS.values():
        module, _, function = command.runs.partition(":")
        assert callable(getattr(import_module(module), function))


def test_an_error_for_the_user_is_printed_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def fail(argv: list[str]) -> int:
        raise DataError("mug: no such folder; put it there")

    monkeypatch.setattr("vdsm_glass.commands.prepare.main", fail)
    assert cli.main(["prepare", "mug"]) == 2
    assert capsys.readouterr().err == "vdsm-glass: error: mug: no such folder; put it there\n"
    monkeypatch.setenv("VDSM_GLASS_TRACEBACK", "1")
    with pytest.raises(DataError):
        cli.main(["prepare", "mug"])


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    def fail(argv: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("vdsm_glass.commands.prepare.main", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["prepare", "mug"])


def test_ctrl_c_outside_of_training_is_no_error(monkeypatch: pytest.MonkeyPatch):
    def stop(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("vdsm_glass.commands.prepare.main", stop)
    assert cli.main(["prepare", "mug"]) == 130


def test_the_module_is_the_program():
    done = subprocess.run([sys.executable, "-m", "vdsm_glass", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("vdsm-glass: error: 'nonsense' is not a command")
