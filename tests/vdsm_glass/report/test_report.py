from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from data_modules.common.errors import UserError
from tests.vdsm_glass.play.browser import chromium
from vdsm_glass.pictures import write_gif, write_png
from vdsm_glass.report import demo
from vdsm_glass.report.curves import draw_run, read_curve
from vdsm_glass.report.html import Section, write_report


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_page_holds_its_pictures_and_fetches_nothing(tmp_path: Path):
    gif = write_gif(torch.rand(3, 3, 8, 8), tmp_path / "a.gif")
    png = write_png(torch.rand(3, 8, 8), tmp_path / "b.png")
    section = Section("One & <two>", "text", header=("a", "b"), rows=[("x", "reached")], pictures=[gif, png])
    page = write_report(tmp_path / "r.html", title="T", about="A", sections=[section]).read_text("utf-8")
    links = Links()
    links.feed(page)
    assert len(links.found) == 2
    assert all(link.startswith("data:image/") for link in links.found)
    assert "One &amp; &lt;two&gt;" in page
    assert page.count("<table>") == page.count('<div class="wide"><table>') == 1  # else a phone cuts it off


def test_verdicts_have_a_colour_and_captions_stand_beside_their_pictures(tmp_path: Path):
    gifs = [write_gif(torch.rand(2, 3, 8, 8), tmp_path / f"{name}.gif") for name in "ab"]
    table = Section(
        "t", "one\n\ntwo", header=tuple("abcdef"), rows=[("x", "yes", "no: y", "unsure: z", "yesterday", "5")]
    )
    pictures = Section("p", "", pictures=gifs, captions=["first", "second"])
    page = write_report(tmp_path / "r.html", title="T", about="A", sections=[table, pictures]).read_text("utf-8")
    for cell in ('"yes">yes', '"no words">no: y', '"unsure words">unsure: z', '"">yesterday', '"">5'):
        assert f"<td class={cell}</td>" in page
    assert "<p>one</p>" in page
    assert "<p>two</p>" in page
    assert page.count('<table class="long">') == page.count('<div class="named">') == 1
    assert page.index("first</figcaption>") < page.index("data:image/gif") < page.index("second</figcaption>")


@pytest.mark.thorough
def test_in_a_browser_wide_tables_scroll_beside_their_names_and_pictures_are_aligned(tmp_path: Path):
    gifs = [write_gif(torch.rand(2, 3, 8, 32), tmp_path / f"{name}.gif") for name in "abc"]
    table = Section("t", "", header=tuple("m" * 30 for _ in range(14)), rows=[("name", *["12.34 ± 0.56"] * 13)] * 7)
    pictures = Section("p", "", pictures=gifs, captions=["first", "a name that is longer", "third"])
    page = write_report(tmp_path / "r.html", title="T", about="A", sections=[table, pictures])
    with chromium(tmp_path / "profile", width=1000) as driver:
        driver.get(page.as_uri())

        def places(selector: str) -> list[dict[str, float]]:
            found = "[...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().toJSON())"
            return driver.execute_script(f"return {found}", selector)

        before = places("td:first-child")[0]["x"]
        driver.execute_script("document.querySelector('.wide').scrollLeft = 300")
        assert driver.execute_script("return document.querySelector('.wide').scrollLeft") == 300
        assert places("td:first-child")[0]["x"] == before
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        images, names = places("figure img"), places("figcaption")
        assert len({each["x"] for each in images}) == len({each["width"] for each in images}) == 1
        for name, image in zip(names, images, strict=True):
            assert name["right"] <= image["x"]
            assert image["top"] <= name["top"] <= name["bottom"] <= image["bottom"]


def test_a_page_refreshes_if_it_is_told_to(tmp_path: Path):
    page = write_report(tmp_path / "r.html", title="T", about="A", sections=[], refresh=7).read_text("utf-8")
    assert '<meta http-equiv="refresh" content="7">' in page
    assert "refresh" not in write_report(tmp_path / "r.html", title="T", about="A", sections=[]).read_text("utf-8")


def test_a_picture_that_is_not_there_is_named(tmp_path: Path):
    section = Section("s", "t", pictures=[tmp_path / "gone.png"])
    with pytest.raises(UserError, match=r"gone\.png"):
        write_report(tmp_path / "r.html", title="T", about="A", sections=[section])
    assert not (tmp_path / "r.html").exists()


def test_curves_skip_rows_without_a_value(tmp_path: Path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,loss,val\n1,5.0,\n2,,0.5\n3,4.0,\n")
    assert read_curve(file, "loss") == ([1.0, 3.0], [5.0, 4.0])
    assert draw_run(file, ["loss", "val"], tmp_path / "c.png").is_file()
    with pytest.raises(UserError, match="'nothing'"):
        read_curve(file, "nothing")


def test_a_goal_is_reached_or_missed():
    goal = demo.Goal("psnr", "PSNR", least=25.0)
    assert demo.row(goal, 25.0)[-1] == "reached"
    assert demo.row(goal, 24.99)[-1] == "missed"
    assert demo.row(demo.Goal("leak", "leak"), 0.3)[-1] == ""


def test_a_demo_of_no_epochs_is_refused_before_it_trains(capsys):
    for epochs in ("-1", "0", "two"):
        with pytest.raises(SystemExit):
            demo.main(["--epochs", epochs])
        assert f"--epochs: '{epochs}' is not a whole number of at least 1" in capsys.readouterr().err


@pytest.mark.thorough
def test_the_demo_runs_to_its_report(tmp_path: Path, capsys):
    assert demo.main(["--dir", str(tmp_path / "runs"), "--root", str(tmp_path / "data"), "--epochs", "1"]) == 0
    report = tmp_path / "runs" / "demo" / "report.html"
    assert str(report) in capsys.readouterr().out
    assert report.read_text("utf-8").count("data:image/") == 8
    results = demo.results(tmp_path / "runs" / "demo")
    assert {goal.name for goal in demo.GOALS} <= results.keys()
