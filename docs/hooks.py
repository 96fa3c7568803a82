"""What the site has beyond the files of docs/: pages made of other files, links into the code, equations as MathML.

The files read well in the repository, where links lead to files; here the same links lead to the reference, or to a
page that shows the file. MkDocs calls these functions by their names.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("vdsm_glass", "data_modules", "callbacks")
MADE_OF = {"readme.md": "README.md", "results.md": "experiments/RESULTS.md"}
"""Pages that are other files of the repository."""
LINK = re.compile(
    r"^```.*?^```|(?P<text>!?\[[^\]]*\])\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)", re.MULTILINE | re.DOTALL
)
"""A link, or a block of code, in which nothing is one."""
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
PLAY = "<!-- play -->"
FRAME = """<iframe class="play" src="play/index.html" title="A trained model to play with"></iframe>

The model runs in your browser, and no server computes anything. But browsers load a model only from a server. If this
site was opened as a file, run `python -m http.server --bind 127.0.0.1 --directory site`, and open
http://127.0.0.1:8000."""
ABSENT = "*This copy of the site was built without a model to play with here.*"
"""What stands for `PLAY` where a page of `vdsm-glass export --web` lies in docs/play, and where none does."""


def on_config(config: MkDocsConfig) -> None:
    """The reference goes below its heading in the navigation: a page for each module, in the folders' order."""
    assert config.nav is not None
    reference = next(entry["Reference"] for entry in config.nav if "Reference" in entry)
    reference.extend({package: tree(ROOT / package)} for package in PACKAGES)


def tree(folder: Path) -> list[Any]:
    """The navigation of a package: its own page, its modules, its packages."""
    parts: list[Any] = [page_of(folder / "__init__.py")]
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and not path.stem.startswith("__"):
            parts.append({path.stem: page_of(path)})
        elif (path / "__init__.py").exists():
            parts.append({path.name: tree(path)})
    return parts


def page_of(path: Path) -> str:
    """Where the page that shows a file is, from docs/: the reference for modules, else a page with its source."""
    inside = path.relative_to(ROOT)
    if path.suffix != ".py" or inside.parts[0] not in PACKAGES:
        return f"source/{inside.as_posix()}.md"
    name = "index" if path.stem == "__init__" else path.stem
    return (Path("reference") / inside.with_name(f"{name}.md")).as_posix()


def module_of(path: Path) -> str:
    """The name by which Python imports a file."""
    inside = path.relative_to(ROOT).with_suffix("")
    return ".".join(inside.parent.parts if inside.name == "__init__" else inside.parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that docs/ does not hold."""
    made = {page: (ROOT / source).read_text("utf-8") for page, source in MADE_OF.items()}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            made[page_of(path)] = f"::: {module_of(path)}\n"
    for file in files.documentation_pages():
        for link in LINK.finditer(file.content_string):
            path = link["target"] and linked(link["target"], file.src_uri)
            if path and page_of(path).startswith("source/"):
                made[page_of(path)] = f"# {path.name}\n\n```python\n{path.read_text('utf-8')}```\n"
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    return files


def linked(target: str, page: str) -> Path | None:
    """The file that a link of a page leads to; None for an address, and for what docs/ or another page holds."""
    if "://" in target:
        return None
    path = ((ROOT / MADE_OF.get(page, f"docs/{page}")).parent / target).resolve()
    inside = path.relative_to(ROOT).as_posix()
    return path if inside not in MADE_OF.values() and path.parts[len(ROOT.parts)] != "docs" else None


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turns links to files of the repository into links of the site, and puts in the page to play with."""
    here = page.file.src_uri
    if here.startswith(("reference/", "source/")):
        return markdown

    def moved(link: re.Match[str]) -> str:
        target, anchor = link["target"], link["anchor"] or ""
        if not target or "://" in target:
            return link[0]
        path = linked(target, here)
        if path:
            symbol = re.fullmatch(r"\[`([\w.]+)`\]", link["text"])
            anchor = f"#{module_of(path)}.{symbol[1]}" if symbol and page_of(path).startswith("reference/") else anchor
            target = page_of(path)
        else:
            full = ((ROOT / MADE_OF.get(here, f"docs/{here}")).parent / target).resolve().relative_to(ROOT).as_posix()
            named = {source: made for made, source in MADE_OF.items()}
            target = named.get(full) or full.removeprefix("docs/")
        return f"{link['text']}({posixpath.relpath(target, posixpath.dirname(here) or '.')}{anchor})"

    shown = ROOT / "docs" / "play" / "index.html"
    return LINK.sub(moved, markdown).replace(PLAY, FRAME if shown.exists() else ABSENT)


def on_page_content(content: str, **_: Any) -> str:
    """Sets equations as MathML, which browsers draw without scripts and fonts of others."""
    return MATH.sub(lambda found: mathml(html.unescape(found[2]), block=found[1] == "div"), content)


def mathml(tex: str, *, block: bool) -> str:
    """An equation as MathML. The converter does not know `\\arg`, and browsers draw no letter with double strokes."""
    made = convert(tex.replace(r"\arg", r"\operatorname{arg}"), display="block" if block else "inline")
    return re.sub(r'<mi mathvariant="double-struck">E</mi>', "<mi>𝔼</mi>", made)
