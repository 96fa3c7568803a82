"""A study trains every seed once, goes on where it was stopped, and says which seed was the worst."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vdsm_glass.cli import main
from vdsm_glass.commands import study, table
from vdsm_glass.metrics.results import Protocol, Result, ResultSet

FIT = """
import sys
from pathlib import Path

argv = sys.argv[1:]
run = Path(argv[argv.index("--run.dir") + 1]) / argv[argv.index("--run.name") + 1] / "version_0"
seed = argv[argv.index("--seed_everything") + 1]
with open("done.txt", "a") as done:
    stage = argv[argv.index("--config") + 1], "pretrained" if "--model.pretrained" in argv else ""
    print(argv[0], seed, *stage, file=done)
if Path(f"fails_{seed}").exists():
    sys.exit(3)
if argv[0] == "test":
    (run / "test" / "version_0").mkdir(parents=True)
    (run / "test" / "version_0" / "results.json").write_text(Path(f"results_{seed}.json").read_text())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "fit.py"
    script.write_text(FIT, encoding="utf-8")
    monkeypatch.setattr(study, "interpreter_line", lambda words: [sys.executable, "-S", str(script), *words])
    monkeypatch.setattr(table, "POLL_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    for seed, psnr in enumerate((20.0, 30.0, 25.0)):
        book = ResultSet()
        book.add([Result("psnr", psnr, Protocol(split="test", clips=3, frames=4, height=8, width=8))])
        book.write(tmp_path / f"seed{seed}")
        (tmp_path / f"seed{seed}" / "results.json").rename(tmp_path / f"results_{seed}.json")
    for stage in ("one", "two"):
        (tmp_path / f"{stage}.yaml").touch()
    return tmp_path


def done(folder: Path) -> list[str]:
    return [line.strip() for line in (folder / "done.txt").read_text().splitlines()]


def test_every_seed_is_trained_in_all_stages_and_tested_once(folder: Path, capsys: pytest.CaptureFixture):
    arguments = ["study", "--config", "one.yaml", "--config", "two.yaml", "--seeds", "0", "1", "2", "--name", "all"]
    assert main(arguments) == 0
    stages = ["fit {} one.yaml", "fit {} two.yaml pretrained", "test {} two.yaml pretrained"]
    assert done(folder) == [stage.format(seed) for seed in range(3) for stage in stages]
    assert "| psnr | 25 | 5 | 20 (0) | 30 (1) |" in capsys.readouterr().out
    assert "| psnr | 25 |" in (folder / "runs" / "all" / study.FILE).read_text()
    assert main(arguments) == 0
    assert len(done(folder)) == 9, "what has results is not trained again"


def test_a_seed_that_fails_stops_the_study_and_the_others_are_kept(folder: Path, capsys: pytest.CaptureFixture):
    (folder / "fails_1").touch()
    assert main(["study", "--config", "one.yaml", "--seeds", "0", "1"]) == 3
    (folder / "fails_1").unlink()
    assert main(["study", "--config", "one.yaml", "--seeds", "0", "1"]) == 0
    assert [line.split()[1] for line in done(folder)] == ["0", "0", "1", "1", "1"]
    assert "2 seeds: 0, 1" in capsys.readouterr().out


def test_a_recipe_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture):
    assert main(["study", "--config", "three.yaml"]) == 2
    assert "three.yaml: there is no such recipe" in capsys.readouterr().err
