"""The page of an arena: HTML that needs no other file, and the same tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageSequence
from torch import Tensor

from data_modules.common.files import replacing
from vdsm_glass.arena.bouts import DRAWN, Bout
from vdsm_glass.arena.scores import PROTOCOLS, Contender, columns, named, published, sheet, verdicts
from vdsm_glass.arena.words import glossary
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.pictures import write_gif
from vdsm_glass.report.html import Section, write_report
from vdsm_glass.tables.render import Sheet, lines_of

NAME = "arena"
ABOUT = """Every model was trained on the same clips and tested on the same others, with the same protocols and seeds.
Trivial models learn next to nothing: they copy a frame, or show a training clip. What such a model reaches takes no
skill, so a model that learns has to beat them in what it claims."""
BEATS = """Each model that learns is compared with all trivial models for which the metric was measured.

"yes": it is better than every one of them, and the intervals do not overlap. "unsure": it is better, but its interval
overlaps with that of the models named. "no": the models named are as good or better.

With one seed there are no intervals: "yes" then says that this one run was better. True shifts is told what the labels
say, and the first frame of a clip has the true identity: no model can show more of that."""


def contender(bouts: Sequence[Bout]) -> Contender | None:
    """What was measured of one model.  Args: bouts, of its seeds.   Returns: None before any was tested."""
    tested = [bout for bout in bouts if bout.results]
    if not tested:
        return None
    entry = tested[0].entry
    model = entry.model_class
    return Contender(
        entry=entry,
        title=model.title,
        trivial=model.trivial,
        results=[ResultSet.read(bout.results) for bout in tested if bout.results],
        parameters=tested[0].state().parameters,
        seconds=sum(bout.state().seconds for bout in tested) / len(tested),
        published=published(entry),
    )


def write(title: str, bouts: Sequence[Bout], home: Path) -> tuple[Path, Path]:
    """Writes `arena.html` and `arena.md` in `home` and returns their paths."""
    by_model: dict[str, list[Bout]] = {}
    for bout in bouts:
        by_model.setdefault(bout.entry.name, []).append(bout)
    contenders = [found for each in by_model.values() if (found := contender(each))]
    contenders = told_apart(contenders)
    shown = columns(contenders)
    table, verdict = sheet(contenders, shown), verdicts(contenders, shown)
    words = glossary(shown, [named(title, column) for title, column in shown.items()])
    sections = [
        section("Scores", "\n\n".join(table.notes), table),
        section("Who beats the trivial models", BEATS, verdict),
        *(pictures(protocol, by_model, contenders, home) for protocol in PROTOCOLS),
        Section("What the metrics are", "", header=("metric", "what it is"), rows=words),
    ]
    page = write_report(
        home / f"{NAME}.html",
        title=title,
        about=ABOUT,
        sections=[each for each in sections if each.rows or each.pictures],
    )
    text = [f"**{title}**", "", *lines_of(table), *(f"\n{note}" for note in table.notes)]
    if verdict.rows:
        paragraphs = (" ".join(part.split()) for part in BEATS.split("\n\n"))
        text += [*(line for part in paragraphs for line in ("", part)), "", *lines_of(verdict)]
    if words:
        text += ["", *lines_of(Sheet(["metric", "what it is"], [list(row) for row in words]))]
    with replacing(home / f"{NAME}.md") as temporary:
        temporary.write_text("\n".join([*text, ""]), encoding="utf-8")
    return page, home / f"{NAME}.md"


def told_apart(contenders: Sequence[Contender]) -> list[Contender]:
    """The same, where models of one kind have the names of their recipes beside their title."""
    titles = [each.title for each in contenders]
    return [
        replace(each, title=f"{each.title} ({each.entry.name})") if titles.count(each.title) > 1 else each
        for each in contenders
    ]


def section(title: str, text: str, table: Sheet) -> Section:
    """A table as a section of the page."""
    return Section(title, text, header=tuple(table.header), rows=[tuple(row) for row in table.rows])


def pictures(protocol: str, by_model: dict[str, list[Bout]], contenders: Sequence[Contender], home: Path) -> Section:
    """The clips that the test of the first seed has drawn, those of each model below the real ones."""
    files: list[Path] = []
    captions: list[str] = []
    for each in contenders:
        first = next(bout for bout in by_model[each.entry.name] if bout.results)
        drawn = first.folder / DRAWN.replace("*", protocol)
        if not drawn.is_file():
            continue
        halves = rearrange(frames_of(drawn), "t c (side h) w -> side t c h w", side=2)
        names = [(each.title, each.entry.name, halves[1])]
        if not files:
            names.insert(0, ("The real clips" if protocol == PROTOCOLS[0] else "Whose motion it is", "real", halves[0]))
        for caption, name, half in names:
            files.append(write_gif(half, home / "pictures" / f"{protocol}_{name}.gif"))
            captions.append(caption)
    text = "The same test clips, by every model, of the first seed. What stands one below the other belongs together."
    return Section(protocol.capitalize(), text, pictures=files, captions=captions)


def frames_of(file: Path) -> Tensor:
    """The frames of a GIF: (t, 3, h, w) in [0, 1]."""
    with Image.open(file) as moving:
        frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(moving)])
    return rearrange(torch.from_numpy(frames), "t h w c -> t c h w").float() / 255
