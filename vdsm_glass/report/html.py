"""An HTML page as one file: pictures are embedded, and nothing is fetched."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.common.errors import UserError
from data_modules.common.files import replacing

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
  table { border-collapse: collapse } .wide { overflow-x: auto }
  figure { margin: 1rem 0 }
  td, th { padding: .25rem .8rem; border-bottom: 1px solid #cbd5e0; text-align: left }
  td { font-variant-numeric: tabular-nums }
  .reached { color: #276749 } .missed { color: #9b2c2c }
  @media (max-width: 30rem) { td, th { padding: .25rem .35rem; font-size: .85rem } }
</style>
<h1>{{ title }}</h1>
<p>{{ about }}</p>
{% for section in sections %}
<h2>{{ section.title }}</h2>
<p>{{ section.text }}</p>
{% if section.rows %}
<div class="wide"><table>
<tr>{% for name in section.header %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in section.rows %}
<tr>{% for cell in row %}<td class="{{ cell if loop.last else '' }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endif %}
{% for image in section.images %}
{% set caption = section.captions[loop.index0] if section.captions else "" %}
<figure>{% if caption %}<figcaption>{{ caption }}</figcaption>{% endif %}
<img src="{{ image }}" alt="{{ caption or section.title }}"></figure>
{% endfor %}
{% endfor %}
</html>
"""


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, and perhaps a table and pictures (PNG or GIF files), with captions or without."""

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
            page.render(title=title, about=about, sections=sections, refresh=refresh), encoding="utf-8"
        )
    return path
