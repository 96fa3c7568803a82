"""A table as Markdown, as an HTML page and as bars: our numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.common.files import replacing
from vdsm_glass.tables.published import Column, Table
from vdsm_glass.tables.runs import RowResults, differences

MARK = "*"
NOT_RUN, NOT_COMPUTED = "–", "?"
LEGEND = f"Cells are the paper's number / ours. {NOT_RUN} not run; {NOT_COMPUTED} not computed in that run."
BETTER = {"more": "↑", "less": "↓"}
PAPER, OURS = "paper", "ours"
COLOURS = {PAPER: "#a0aec0", OURS: "#2b6cb0"}


@dataclass(frozen=True)
class Sheet:
    """The text of a table.  Args: header and rows, as cells; notes, one sentence each."""

    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def sheet(table: Table, found: Mapping[str, RowResults | None]) -> Sheet:
    """Sets our numbers beside the published ones, marks those measured differently, and explains them in notes.

    Args: found, our results by row.
    """
    collected: dict[str, list[str]] = {}
    rows = []
    for name, row in table.rows.items():
        cells = [name]
        for title, column in table.columns.items():
            printed = row.published.get(title)
            ours = None if row.others else measured_cell(table, found.get(name), column, printed, collected)
            if ours is not None and has_published(table, title):
                ours = f"{printed or ''} / {ours}".lstrip()
            cells.append(ours or printed or "")
        rows.append(cells)
    header = ["", *(f"{title} {BETTER[column.better]}" for title, column in table.columns.items())]
    notes = [LEGEND, *(f"{said}: {', '.join(files)}." if files else said for said, files in collected.items())]
    return Sheet(header, rows, notes)


def has_published(table: Table, title: str) -> bool:
    """Whether the paper has numbers in this column."""
    return any(title in row.published for row in table.rows.values())


def measured_cell(
    table: Table, found: RowResults | None, column: Column, printed: str | None, notes: dict[str, list[str]]
) -> str:
    """Our number with as many decimals as the printed one; adds to `notes` why it is marked or missing."""
    if found is None:
        return NOT_RUN
    number = found.content.results.get(column.measure)
    if number is None:
        if gap := found.content.not_computed.get(column.measure):
            notes.setdefault(f"{NOT_COMPUTED} {gap.name}, {gap.reason}", [])
        return NOT_COMPUTED
    decimals = len(printed.partition(".")[2]) if printed else 3
    differs = "; ".join(differences(table, found, number))
    if differs:
        files = notes.setdefault(f"{MARK} {differs}", [])
        if str(found.file) not in files:
            files.append(str(found.file))
    return f"{number.value:.{decimals}f}{MARK if differs else ''}"


def as_markdown(table: Table, shown: Sheet) -> str:
    """The table in GitHub's Markdown, with its title and notes."""
    lines = [f"**{table.source}: {table.title}**", "", *lines_of(shown)]
    return "\n".join([*lines, *(f"\n{text}" for text in (table.about.strip(), *shown.notes)), ""])


def lines_of(shown: Sheet) -> list[str]:
    """The rows in GitHub's Markdown."""
    widths = [max(len(row[n]) for row in [shown.header, *shown.rows]) for n in range(len(shown.header))]

    def line(cells: list[str]) -> str:
        padded = (cell.replace("|", "\\|").ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return [line(shown.header), rule, *map(line, shown.rows)]


def as_html(table: Table, shown: Sheet, path: Path, *, picture: Path | None = None) -> Path:
    """Writes the table as an HTML page that needs no other file."""
    from vdsm_glass.report.html import Section, write_report

    section = Section(
        title=table.title,
        text=" ".join(shown.notes),
        header=tuple(shown.header),
        rows=[tuple(row) for row in shown.rows],
        pictures=[picture] if picture else [],
    )
    return write_report(path, title=table.source, about=table.about, sections=[section])


def draw(table: Table, found: Mapping[str, RowResults | None], path: Path) -> Path:
    """Draws a panel per column and two bars per row: grey the paper's, blue ours, hatched if it is marked."""
    from matplotlib.figure import Figure

    titles = list(table.columns)
    columns = min(len(titles), 4)
    lines = -(-len(titles) // columns)
    height = 0.9 + 0.32 * len(table.rows)
    figure = Figure(figsize=(1.2 + 2.6 * columns, height * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, title in zip(panels.flat, titles, strict=False):
        column = table.columns[title]
        for place, (name, row) in enumerate(table.rows.items()):
            if title in row.published:
                axes.barh(place - 0.2, float(row.published[title]), 0.38, color=COLOURS[PAPER])
            run = found.get(name)
            number = run.content.results.get(column.measure) if run else None
            if run is not None and number is not None:
                hatch = "///" if differences(table, run, number) else ""
                axes.barh(place + 0.2, number.value, 0.38, color=COLOURS[OURS], hatch=hatch, edgecolor="white")
        axes.set(title=f"{title} {BETTER[column.better]}", yticks=range(len(table.rows)), yticklabels=list(table.rows))
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0, 0].invert_yaxis()
    for axes in list(panels.flat)[len(titles) :]:
        axes.set_axis_off()
    figure.suptitle(f"{table.source}: grey {PAPER}, blue {OURS} (hatched: measured otherwise)", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
