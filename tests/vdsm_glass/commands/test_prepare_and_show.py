"""`vdsm-glass prepare` and `vdsm-glass show`."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_modules.common.errors import UserError
from vdsm_glass.commands import prepare, show


def test_commands_know_datasets_and_their_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pictures"
    options = ["--root", str(tmp_path), "--tiny", "--size", "32", "--colours", "3"]
    assert prepare.main(["pendulum", *options]) == 0
    assert "train" in capsys.readouterr().out
    assert show.main(["pendulum", *options, "--out", str(out), "--clips", "3"]) == 0
    assert {path.name for path in out.iterdir()} == {"contact_sheet.png", "clips.gif"}
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        str(out / "contact_sheet.png"),
        str(out / "clips.gif"),
    ]


def test_a_misspelt_dataset_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="'pendulm' is not a dataset; did you mean 'pendulum'"):
        prepare.main(["pendulm"])


@pytest.mark.parametrize("arguments", [[], ["--help"], ["pendulum", "--colors", "3"]])
def test_help_and_misspelt_options_end_the_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        show.main(arguments)
    printed = capsys.readouterr()
    assert end.value.code == (0 if arguments == ["--help"] else 2)
    assert ("--colors" in printed.err) if "--colors" in arguments else ("pendulum" in printed.out)
