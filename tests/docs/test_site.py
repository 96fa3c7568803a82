"""The documentation as a site: built without a warning, whole, and asking no other host for anything."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.docs.test_pages import PAGES, ROOT, TUTORIALS
from tests.vdsm_glass.play.browser import chromium, hosts_asked, until

LOADED = re.compile(r'<(script|link|img|iframe|source|video|audio)\b[^>]*?\s(?:src|href)=["\']?([^"\'\s>]+)')
LINKED = re.compile(r'<\w+\b[^>]*?\s(?:src|href)="([^"]+)"')
NAMED = re.compile(r'\s(?:id|name)="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it, elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder


@pytest.fixture
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(entries: list[Any]) -> Iterator[str]:
    """The pages of a navigation."""
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from leaves(value) if isinstance(value, list) else [value]


def test_the_navigation_has_every_page_and_no_other(hooks: ModuleType):
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in [*PAGES[1:], *TUTORIALS]}
    assert sorted(leaves(config["nav"])) == sorted(pages | hooks.MADE_OF.keys())


def test_links_to_code_lead_to_its_reference_and_others_to_pages(hooks: ModuleType):
    def turned(markdown: str, page: str = "vdsm.md") -> str:
        return hooks.on_page_markdown(markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)))

    code = "reference/vdsm_glass/vdsm/elbo.md"
    assert turned("[`evaluate`](../vdsm_glass/vdsm/elbo.py)") == f"[`evaluate`]({code}#vdsm_glass.vdsm.elbo.evaluate)"
    assert turned("[KL](../../vdsm_glass/vdsm/elbo.py)", "tutorials/a.md") == f"[KL](../{code})"
    assert turned("[all](../vdsm_glass/vdsm/__init__.py)") == "[all](reference/vdsm_glass/vdsm/index.md)"
    assert turned("[it](../examples/transfer.py)") == "[it](source/examples/transfer.py.md)"
    assert turned("[there](../experiments/RESULTS.md#a)") == "[there](results.md#a)"
    assert (
        turned("![moves](docs/swap.gif) [GLASS](docs/glass.md)", "readme.md") == "![moves](swap.gif) [GLASS](glass.md)"
    )
    untouched = "[out](https://a.example/b)\n\n```python\nx[i](y)\n```\n"
    assert turned(untouched) == untouched


@pytest.mark.parametrize("exported", [True, False])
def test_the_page_to_play_with_is_shown_where_it_was_exported(
    hooks: ModuleType, exported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    if exported:
        (tmp_path / "docs" / "play").mkdir(parents=True)
        (tmp_path / "docs" / "play" / "index.html").touch()
    page = SimpleNamespace(file=SimpleNamespace(src_uri="play.md"))
    made = hooks.on_page_markdown((ROOT / "docs" / "play.md").read_text("utf-8"), page)
    assert ('<iframe class="play" src="play/index.html"' in made) == exported
    assert ("built without a model" in made) != exported


@pytest.mark.thorough
def test_nothing_on_a_page_comes_from_another_host(site: Path):
    for page in site.rglob("*.html"):
        for tag, address in LOADED.findall(page.read_text("utf-8")):
            assert not urlsplit(address).netloc, f"{page.relative_to(site)}: {tag} {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text("utf-8")), style.name


@pytest.mark.thorough
def test_every_link_leads_somewhere(site: Path):
    pages = {page: page.read_text("utf-8") for page in site.rglob("*.html")}
    names = {page: set(map(unescape, NAMED.findall(text))) for page, text in pages.items()}
    assert len(pages) > 200
    for page, text in pages.items():
        for address in map(urlsplit, map(unescape, LINKED.findall(text))):
            if address.scheme or page.name == "404.html":
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            assert target.exists(), f"{page.relative_to(site)} links {address.path}"
            anchor = unquote(address.fragment)
            assert not anchor or anchor == "__top" or anchor in names[target], f"{page.name}: #{anchor}"


@pytest.mark.thorough
def test_equations_and_their_code_are_on_the_papers_pages(site: Path):
    for name, equations in (("vdsm", 16), ("glass", 16)):
        text = (site / f"{name}.html").read_text("utf-8")
        assert text.count("<math") >= equations
        assert "arithmatex" not in text
        for equation in re.findall(r"<math.*?</math>", text):
            assert "\\" not in equation
        assert f'href="reference/vdsm_glass/{name}/' in text


@pytest.mark.thorough
def test_a_browser_shows_and_searches_it_without_a_server(site: Path, tmp_path: Path):
    with chromium(tmp_path / "profile") as driver:
        driver.get((site / "index.html").as_uri())
        assert driver.execute_script("return [...document.images].every(image => image.naturalWidth > 0)")
        driver.execute_script("document.querySelector('[data-md-component=search-query]').focus()")
        driver.switch_to.active_element.send_keys("codebook")
        until(lambda: driver.find_elements("css selector", ".md-search-result__item"), "a page that says codebook")
        driver.get((site / "vdsm.html").as_uri())
        height = "return Math.max(...[...document.querySelectorAll('math')].map(each => each.clientHeight))"
        until(lambda: (driver.execute_script(height) or 0) > 20, "equations as high as they should be")
        assert hosts_asked(driver) <= {None, ""}
        assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
