"""What README and docs/ say is there, is: files, symbols, and Python that runs."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_DIRECTLY = {"extending.md"}
"""Pages whose Python needs nothing that the page itself does not make."""


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text("utf-8")) if found == language]


@pytest.mark.parametrize("page", [*PAGES, *TUTORIALS], ids=lambda page: page.name)
def test_links_lead_to_files_and_symbols(page: Path):
    for text, target in LINK.findall(page.read_text("utf-8")):
        if "://" in target:
            continue
        file = (page.parent / target).resolve()
        assert file.exists(), f"{page.name} links {target}"
        symbol = re.fullmatch(r"`([\w.]+)`", text)
        if symbol and file.suffix == ".py":
            value = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
            for part in symbol.group(1).split("."):
                value = getattr(value, part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_can_be_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(blocks(page, "python")):
        code = compile(text, f"{page.name}, block {number}", "exec")
        if page.name in RUN_DIRECTLY:
            exec(code, {"__name__": "page"})
