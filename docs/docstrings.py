"""How docstrings are read for the reference: their one-line sections and their examples become Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"(?<!\S)(Args|Returns|Raises|Yields): (?=\S)")
EXAMPLE = re.compile(r"^>>> .*(?:\n\S.*)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """`Args: x ...   Returns: y ...` within a line gets its words in bold; `>>>` begins a block of Python."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = SECTION.sub(r"**\1** ", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", text)
