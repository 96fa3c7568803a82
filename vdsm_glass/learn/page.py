"""The page of `learn`: what was seen and chosen, and what is learned so far."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_modules.common.files import replacing
from vdsm_glass.report.html import Section, write_report

SECONDS = 10
"""Between two refreshes."""


def write_page(
    path: Path,
    *,
    findings: Mapping[str, Any],
    state: str,
    alarms: Sequence[str] = (),
    rows: Sequence[tuple[str, ...]] = (),
    pictures: Sequence[tuple[str, Path]] = (),
    refresh: bool = True,
) -> Path:
    """Writes the page, which refreshes by itself if `refresh` says so.

    Args: findings, `title`, `said` and `picture` of what was seen; state, a sentence; rows, (meaning, number) pairs;
    pictures, titles and files.
    """
    sections = [Section("Alarms", f"{alarm[:1].upper()}{alarm[1:]}.") for alarm in alarms]
    sections += [Section(title, "", pictures=[file]) for title, file in pictures]
    if rows:
        sections.append(Section("Numbers", state, header=("what", "measured"), rows=list(rows)))
    seen = findings.get("picture")
    said = " ".join(findings.get("said", ()))
    sections.append(Section("What was seen and chosen", said, pictures=[Path(seen)] if seen else []))
    title = f"Learning {findings.get('title', 'a video')}"
    return write_report(path, title=title, about=state, sections=sections, refresh=SECONDS if refresh else None)


def settle(path: Path, said: str = "") -> None:
    """Ends the refreshing of a page, and says something at its top."""
    html = re.sub(r'<meta http-equiv="refresh".*\n', "", path.read_text("utf-8"))
    with replacing(path) as temporary:
        temporary.write_text(html.replace("<p>", f"<p>{said} " if said else "<p>", 1), encoding="utf-8")
