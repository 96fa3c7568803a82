"""The papers' tables: numbers as printed, runs that produce them, and what is set beside them."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from data_modules.common.errors import UserError
from vdsm_glass.cli import main
from vdsm_glass.commands import table as command
from vdsm_glass.metrics.results import NotComputed, Protocol, Result, ResultSet
from vdsm_glass.tables import published
from vdsm_glass.tables.published import BUDGETS, Budget, Column, Row, Table
from vdsm_glass.tables.render import as_html, as_markdown, draw, sheet
from vdsm_glass.tables.runs import RowResults, commands, find_results, stages

ROOT = Path(__file__).resolve().parents[3]
PAPER = ROOT.parent / "shared" / "papers" / "glass.txt"
TABLES = [published.read(name) for name in published.names()]
PRINTED = [table for table in TABLES if any(row.published for row in table.rows.values())]

TOY = Table(
    name="toy",
    title="a toy",
    source="Nobody, Table 0",
    about="About.",
    budgets={
        "paper": Budget(recipes=["a/one", "a/two"], epochs=5),
        "compact": Budget(recipes=["a/small"]),
    },
    protocol={"height": 64},
    columns={"PSNR": Column("psnr", "more"), "leak": Column("leak", "less")},
    rows={
        "theirs": Row(published={"PSNR": "20"}, others=True),
        "full": Row(published={"PSNR": "21.50"}),
        "long": Row(published={"PSNR": "22.5"}, epochs=None),
        "ablated": Row(overlay="a/ablations/no_x"),
    },
)


def wrote(runs: Path, name: str, *, version: int = 0, tested: int = 0, **content: float) -> Path:
    file = runs / name / f"version_{version}" / "test" / f"version_{tested}" / "results.json"
    book(**content).write(file.parent)
    return file


def book(*gaps: NotComputed, height: int = 64, width: int = 64, **values: float) -> ResultSet:
    on = Protocol(split="test", clips=9, frames=8, height=height, width=width)
    made = ResultSet()
    made.add([Result(name=name, value=value, protocol=on) for name, value in values.items()], gaps)
    return made


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_tables_recipes_and_columns_are_there(table: Table):
    assert "paper" in table.budgets
    assert set(table.budgets) <= set(BUDGETS)
    for row in table.rows.values():
        assert set(row.published) <= set(table.columns)
        assert all(re.fullmatch(r"\d+(\.\d+)?", number) for number in row.published.values())
        for budget in table.budgets if not row.others else ():
            for stage in stages(table, row, budget):
                assert all((ROOT / config).is_file() for config in stage.configs)


@pytest.mark.parametrize("table", PRINTED, ids=lambda table: table.name)
def test_every_number_stands_in_the_paper_within_its_table(table: Table):
    if not PAPER.is_file():
        pytest.skip(f"no {PAPER}")
    text = re.sub(r"</?u>", "", PAPER.read_text("utf-8")).replace("0.000.86", "0.00 0.86")  # run together there
    number = table.source.removeprefix("GLASS, Table ")
    place = text.index(f"Table {number}: ")
    near = text[max(0, place - 1400) : place + 1400]
    for name, row in table.rows.items():
        printed = list(row.published.values())
        if number in "345":
            # One line a row: exactly these numbers, in this order.
            assert "\t".join(printed) in near, f"{table.name}, {name}"
        for value in printed:
            assert re.search(rf"(?<![\d.]){re.escape(value)}", near), f"{table.name}, {name}: {value}"


def test_published_reconstructions_stand_beside_our_teacher_forced_ones():
    table = published.read("glass-3")
    measured = book(height=96, width=128, miou_re=0.25, miou_re_teacher_forced=0.75)
    shown = sheet(table, {"GLASS 470K": RowResults("paper", Path("r.json"), measured)})
    cells = dict(zip(shown.header, shown.rows[list(table.rows).index("GLASS 470K")], strict=True))
    assert (cells["mIoU_RE teacher-forced ↑"], cells["mIoU_RE free-running ↑"]) == ("0.93 / 0.75", "0.250")


def test_rows_that_are_trained_alike_share_their_runs():
    first, second, third = (published.read(f"glass-{n}") for n in (1, 2, 3))
    for row in ("L_BIN", "L_VGG", "GLASS"):
        assert stages(first, first.rows[row], "paper") == stages(second, second.rows[row], "paper")
    # A recipe as it stands is known under its own name.
    assert stages(third, third.rows["GLASS 470K"], "paper")[-1].name == "glass/w_sprites"
    names = {stages(third, row, "paper")[-1].name for row in third.rows.values()}
    assert len(names) == len(third.rows)


def test_a_rows_commands_lead_from_stage_to_stage_to_the_test(tmp_path: Path):
    one, two, test = commands(TOY, TOY.rows["ablated"], "paper", runs=tmp_path, options=["--x=1"])
    name = "tables/paper/a/one-5/no_x"
    assert one == [
        *("fit", "--config", "experiments/a/one.yaml", "--config", "experiments/a/ablations/no_x.yaml"),
        *("--run.dir", str(tmp_path), "--run.name", name, "--trainer.max_epochs", "5", "--x=1", "--ckpt_path", "last"),
    ]
    assert two[two.index("--model.pretrained") + 1] == f"{tmp_path}/{name}/latest/checkpoints/last.ckpt"
    assert test == ["test", *two[1:]]
    assert "--trainer.max_epochs" not in commands(TOY, TOY.rows["long"], "paper", runs=tmp_path)[0]
    assert "--trainer.max_epochs" not in commands(TOY, TOY.rows["full"], "compact", runs=tmp_path)[0]


def test_an_overlay_of_one_stage_is_laid_over_it_alone_and_names_all_that_stand_on_it():
    first, second = (Row(overlay="a/ablations/no_x", stage=stage) for stage in (1, 2))
    overlay = "experiments/a/ablations/no_x.yaml"
    laid = [[overlay in stage.configs for stage in stages(TOY, row, "paper")] for row in (first, second)]
    assert laid == [[True, False], [False, True]]
    names = [[stage.name for stage in stages(TOY, row, "paper")] for row in (first, second)]
    home = "tables/paper/a"
    assert names == [[f"{home}/one-5/no_x", f"{home}/two-5/no_x"], [f"{home}/one-5/full", f"{home}/two-5/no_x"]]
    unchanged = replace(TOY, budgets={"paper": Budget(recipes=["a/one", "a/two"])})
    assert [stage.name for stage in stages(unchanged, second, "paper")] == ["a/one", "tables/paper/a/two/no_x"]


@pytest.mark.thorough
def test_the_commands_of_every_table_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from vdsm_glass.sweeps.check import CommandLines

    monkeypatch.chdir(ROOT)
    lines: CommandLines | None = None
    seen = set()
    for table in TABLES:
        for budget in table.budgets:
            for row in table.ours.values():
                for words in commands(table, row, budget, runs=tmp_path):
                    # Ablations of both stages are laid over their recipes in the recipes' own tests.
                    kind = (words[0], words[2], "--trainer.max_epochs" in words, budget, row.stage and row.overlay)
                    if words[0] == "test" or kind in seen:
                        continue
                    seen.add(kind)
                    options = [word for word in words[1:] if word not in ("--ckpt_path", "last")]
                    lines = lines or CommandLines("fit", options)
                    lines.parsed(options)
    assert len(seen) > 10


def test_the_newest_results_of_the_best_budget_are_found(tmp_path: Path):
    row = TOY.rows["full"]
    assert find_results(TOY, row, runs=tmp_path) is None
    compact = wrote(tmp_path, "a/small", psnr=1)
    assert find_results(TOY, row, runs=tmp_path).file == compact
    assert find_results(TOY, row, runs=tmp_path, budget="paper") is None
    wrote(tmp_path, "tables/paper/a/two-5/full", version=2, tested=9, psnr=2)
    newest = wrote(tmp_path, "tables/paper/a/two-5/full", version=2, tested=10, psnr=3)
    (tmp_path / "tables/paper/a/two-5/full/version_3").mkdir()
    found = find_results(TOY, row, runs=tmp_path)
    assert (found.file, found.budget, found.content.values["psnr"]) == (newest, "paper", 3)


def test_measured_stands_beside_published_and_what_differs_is_marked():
    gap = NotComputed("leak", "no labels")
    found = {
        "full": RowResults("paper", Path("a.json"), book(psnr=21.4567, leak=0.12345)),
        "long": RowResults("paper", Path("b.json"), book(gap, psnr=20.06, height=32)),
        "ablated": RowResults("compact", Path("c.json"), book(psnr=1.0, leak=0.5)),
    }
    shown = sheet(TOY, found)
    assert shown.header == ["", "PSNR ↑", "leak ↓"]
    assert shown.rows == [
        ["theirs", "20", ""],
        ["full", "21.50 / 21.46", "0.123"],
        ["long", "22.5 / 20.1*", "?"],
        ["ablated", "/ 1.000*", "0.500*"],
    ]
    assert shown.notes[1:] == [
        "* height 32, the paper's 64: b.json.",
        "? leak, no labels",
        "* trained at the compact budget: c.json.",
    ]
    assert sheet(TOY, {}).rows[1] == ["full", "21.50 / –", "–"]


def test_it_is_shown_as_markdown_as_a_page_and_as_a_picture(tmp_path: Path):
    found = {"full": RowResults("compact", Path("r.json"), book(psnr=7.0))}
    shown = sheet(TOY, found)
    lines = as_markdown(TOY, shown).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert cells[0] == shown.header
    assert cells[2:] == shown.rows
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    assert "* trained at the compact budget: r.json." in lines
    picture = draw(TOY, found, tmp_path / "t.png")
    page = as_html(TOY, shown, tmp_path / "t.html", picture=picture).read_text("utf-8")

    class Cells(HTMLParser):
        found: list[str] = []  # noqa: RUF012

        def handle_data(self, data: str) -> None:
            self.found.append(data.strip())

    parser = Cells()
    parser.feed(page)
    assert {"21.50 / 7.00*", "22.5 / –", "theirs"} <= set(parser.found)
    assert "data:image/png" in page


def test_results_that_cannot_be_read_are_named(tmp_path: Path):
    wrote(tmp_path, "a/small", psnr=1.0).write_text('{"psnr": 1.0}', encoding="utf-8")
    with pytest.raises(UserError, match=r"version_0/results\.json is not a results file"):
        find_results(TOY, TOY.rows["full"], runs=tmp_path)


FIT = """
import sys
from pathlib import Path

argv = sys.argv[1:]
run = Path(argv[argv.index("--run.dir") + 1]) / argv[argv.index("--run.name") + 1] / "version_0"
if "no_recj" in str(run):
    sys.exit(3)
if argv[0] == "test":
    assert (run / "trained").exists()
    (run / "test" / "version_0").mkdir(parents=True)
    (run / "test" / "version_0" / "results.json").write_text(Path("results.json").read_text())
else:
    run.mkdir(parents=True)
    (run / "trained").touch()
"""


def test_only_what_is_missing_is_trained_and_a_failure_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    script = tmp_path / "fit.py"
    script.write_text(FIT, encoding="utf-8")
    monkeypatch.setattr(command, "interpreter_line", lambda words: [sys.executable, "-S", str(script), *words])
    monkeypatch.setattr(command, "POLL_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    book(miou=0.5).write(tmp_path)
    wrote(tmp_path / "runs", "glass/w_sprites/compact", miou=0.25)
    assert main(["table", "glass-1", "--run", "compact"]) == 1
    said = capsys.readouterr()
    assert "L_RECJ: failed with code 3" in said.err
    assert said.out.count(" fit --config") == 6, "GLASS itself was there"
    assert "| 0.88 / 0.25* |" in said.out
    assert said.out.count(" / 0.50*") == 5
    assert said.out.count(" / – ") == 1
    assert main(["table", "glass-1", "--run", "compact", "--dry_run"]) == 0
    said = capsys.readouterr()
    assert "no_recj" in said.out
    assert said.out.count(" fit --config") == 1


def test_tables_are_listed_and_the_nearest_is_named(capsys: pytest.CaptureFixture):
    assert main(["table"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == published.names()
    assert main(["table", "glas-2"]) == 2
    assert "did you mean 'glass-2'" in capsys.readouterr().err
    assert main(["table", "glass-4", "--run", "compact"]) == 2
    assert "it has paper, smoke" in capsys.readouterr().err
