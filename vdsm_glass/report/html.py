"""An HTML page as one file: pictures are embedded, and nothing is fetched."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.common.errors import UserError
from data_modules.common.files import replacing

MARKS = ("yes", "no", "unsure", "reached", "missed")
"""Verdicts, which have a colour of their own."""
MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{% if refresh %}<meta http-equiv="refresh" content="{{ refresh }}">
{% endif %}<title>{{ title }}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a202c }
  h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
  img { max-width: 100%; image-rendering: pixelated }
  table { border-collapse: separate; border-spacing: 0 } .wide { overflow-x: auto }
  figure { margin: 1rem 0 }
  td, th { padding: .25rem .8rem; border-bottom: 1px solid #cbd5e0; text-align: left; vertical-align: top }
  th { vertical-align: bottom } td:first-child { min-width: 9rem }
  td { font-variant-numeric: tabular-nums }
  .long td { white-space: nowrap } .long td.words { white-space: normal; min-width: 9rem }
  .long td:first-child, .long th:first-child {
    position: sticky; left: 0; background: #fff; border-right: 1px solid #cbd5e0; white-space: normal; min-width: 8rem
  }
  .yes, .reached { color: #276749 } .no, .missed { color: #9b2c2c } .unsure { color: #975a16 }
  .named { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem .8rem; align-items: center }
  .named figure { display: contents } .named img { width: min(100%, 32rem) }
  @media (max-width: 30rem) {
    td, th { padding: .25rem .35rem; font-size: .85rem }
    td:first-child, .long td:first-child, .long th:first-child { min-width: 5.5rem }
    .named { grid-template-columns: minmax(0, 1fr) }
  }
</style>
<h1>{{ title }}</h1>
<p>{{ about }}</p>
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% for part in section.text.split("\n\n") %}<p>{{ part }}</p>
{% endfor %}
{% if section.rows %}
<div class="wide"><table{% if section.header|length > 5 %} class="long"{% endif %}>
<tr>{% for name in section.header %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in section.rows %}
<tr>{% for cell in row %}<td class="{{ classes(cell) }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endif %}
{% if section.captions %}<div class="named">{% endif %}
{% for image in section.images %}
{% set caption = section.captions[loop.index0] if section.captions else "" %}
<figure>{% if caption %}<figcaption>{{ caption }}</figcaption>{% endif %}
<img src="{{ image }}" alt="{{ caption or section.title }}"></figure>
{% endfor %}
{% if section.captions %}</div>{% endif %}
{% endfor %}
</html>
"""


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs between empty lines, and perhaps a table and pictures (PNG or GIF files).

    A table of many columns scrolls beside its first one. Pictures with captions stand one below the other, each beside
    its caption and all equally wide.
    """

    title: str
    text: str
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)

    @property
    def images(self) -> list[str]:
        """The pictures as data URLs.  Raises: UserError, a picture's file is missing."""
        return [data_url(picture) for picture in self.pictures]


def classes(cell: str) -> str:
    """How a cell of a table is shown.

    >>> classes("no: First frame"), classes("reached"), classes("12.5")
    ('no words', 'reached', '')
    """
    word, told, _ = cell.partition(":")
    return f"{word if word in MARKS else ''} {'words' if told else ''}".strip()


def data_url(picture: Path) -> str:
    """A picture's file as a data URL.  Raises: UserError, there is no such file."""
    if not picture.is_file():
        raise UserError(
            f"{picture}: the report shows this picture, but there is no such file; run the command that draws it"
        )
    return f"data:{MEDIA_TYPES[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"


def write_report(path: Path, *, title: str, about: str, sections: list[Section], refresh: int | None = None) -> Path:
    """Writes the page and returns its path.  Args: refresh, seconds after which a browser reads it again."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE)
    with replacing(path) as temporary:
        temporary.write_text(
            page.render(title=title, about=about, sections=sections, refresh=refresh, classes=classes),
            encoding="utf-8",
        )
    return path
