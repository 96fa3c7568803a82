"""The page of an arena: HTML that needs no other file, and the same tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageSequence
from torch import Tensor

from data_modules.common.files import replacing
from vdsm_glass.architecture import load_checkpoint
from vdsm_glass.arena.bouts import Bout
from vdsm_glass.arena.scores import PROTOCOLS, Contender, columns, published, sheet, verdicts
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.pictures import write_gif
from vdsm_glass.report.html import Section, write_report
from vdsm_glass.tables.render import Sheet, lines_of

NAME = "arena"
ABOUT = """Every model was trained on the same clips and tested on the same others, with the same protocols and seeds.
Trivial models learn next to nothing; a model that learns has to beat them in what it claims."""
BEATS = """In each metric "yes" where a model is better than every trivial one and the intervals do not overlap,
"unsure" with the names of those whose intervals do overlap, "no" with those that are as good or better. True shifts is
told what the labels say. With one seed there are no intervals: "yes" then says that this one run was better."""


def contender(bouts: Sequence[Bout]) -> Contender | None:
    """What was measured of one model.  Args: bouts, of its seeds.   Returns: None before any was tested."""
    tested = [bout for bout in bouts if bout.results]
    if not tested:
        return None
    entry = tested[0].entry
    model = entry.model_class
    network = load_checkpoint(tested[0].checkpoint)[1]
    return Contender(
        entry=entry,
        title=model.title,
        trivial=model.trivial,
        results=[ResultSet.read(bout.results) for bout in tested if bout.results],
        parameters=sum(each.numel() for each in network.parameters()),
        seconds=sum(bout.state().seconds for bout in tested) / len(tested),
        published=published(entry),
    )


def write(title: str, bouts: Sequence[Bout], home: Path) -> tuple[Path, Path]:
    """Writes `arena.html` and `arena.md` in `home` and returns their paths."""
    by_model: dict[str, list[Bout]] = {}
    for bout in bouts:
        by_model.setdefault(bout.entry.name, []).append(bout)
    contenders = [found for each in by_model.values() if (found := contender(each))]
    shown = columns(contenders)
    table, verdict = sheet(contenders, shown), verdicts(contenders, shown)
    sections = [section("Scores", " ".join(table.notes), table)]
    if verdict.rows and len(verdict.header) > 1:
        sections.append(section("Who beats the trivial models", BEATS, verdict))
    sections += [pictures(protocol, by_model, contenders, home) for protocol in PROTOCOLS]
    page = write_report(
        home / f"{NAME}.html",
        title=title,
        about=ABOUT,
        sections=[each for each in sections if each.rows or each.pictures],
    )
    text = [f"**{title}**", "", *lines_of(table), *(f"\n{note}" for note in table.notes)]
    if verdict.rows:
        text += ["", " ".join(BEATS.split()), "", *lines_of(verdict)]
    with replacing(home / f"{NAME}.md") as temporary:
        temporary.write_text("\n".join([*text, ""]), encoding="utf-8")
    return page, home / f"{NAME}.md"


def section(title: str, text: str, table: Sheet) -> Section:
    """A table as a section of the page."""
    return Section(title, text, header=tuple(table.header), rows=[tuple(row) for row in table.rows])


def pictures(protocol: str, by_model: dict[str, list[Bout]], contenders: Sequence[Contender], home: Path) -> Section:
    """The clips that the test of the first seed has drawn, those of each model below the real ones."""
    files: list[Path] = []
    captions: list[str] = []
    for each in contenders:
        results = next(bout.results for bout in by_model[each.entry.name] if bout.results)
        drawn = results.parent / "pictures" / f"evaluation_{protocol}.gif"
        if not drawn.is_file():
            continue
        halves = rearrange(frames_of(drawn), "t c (side h) w -> side t c h w", side=2)
        names = [(each.title, each.entry.name, halves[1])]
        if not files:
            names.insert(0, ("The real clips" if protocol == PROTOCOLS[0] else "Whose motion it is", "real", halves[0]))
        for caption, name, half in names:
            files.append(write_gif(half, home / "pictures" / f"{protocol}_{name}.gif"))
            captions.append(caption)
    text = "The same test clips, by every model, of the first seed."
    return Section(protocol.capitalize(), text, pictures=files, captions=captions)


def frames_of(file: Path) -> Tensor:
    """The frames of a GIF: (t, 3, h, w) in [0, 1]."""
    with Image.open(file) as moving:
        frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(moving)])
    return rearrange(torch.from_numpy(frames), "t h w c -> t c h w").float() / 255
