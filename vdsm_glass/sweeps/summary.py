"""A finished sweep as a table, best trial first, and as a picture of the metric over every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_modules.common.files import replacing
from vdsm_glass.sweeps.definition import last_part
from vdsm_glass.sweeps.study import Record

PICTURE = "sweep.png"
MOST_TICKS = 6
ROOM_IN_LETTERS = 48


def varied(records: Sequence[Record]) -> list[str]:
    """The parameters that differ between the trials, or all if none does."""
    names = list(dict.fromkeys(name for record in records for name in record.values))
    return [name for name in names if len({repr(record.values.get(name)) for record in records}) > 1] or names


def short_names(parameters: Sequence[str]) -> dict[str, str]:
    """A short title of each parameter: its last part, or its whole name if two have the same last part."""
    last = [last_part(name) for name in parameters]
    return {
        name: end if last.count(end) == 1 else name.replace(".init_args.", ".")
        for name, end in zip(parameters, last, strict=True)
    }


def cell(value: Any) -> str:
    """A parameter's value as text: a config file by its name, a float with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return Path(value).stem if isinstance(value, str) and value.endswith(".yaml") else str(value)


def table(records: Sequence[Record], metric: str) -> tuple[list[str], list[list[str]]]:
    """The summary's header and rows."""
    titles = short_names(varied(records))
    rows = []
    for record in records:
        numbers = ["" if value is None else f"{value:.5g}" for value in (record.last, record.best)]
        parameters = [cell(record.values.get(parameter)) for parameter in titles]
        rows.append([*parameters, *numbers, record.status, f"{record.seconds:.0f} s", record.name])
    return [*titles.values(), metric, "best", "", "time", "trial"], rows


def draw(records: Sequence[Record], metric: str, folder: Path) -> Path | None:
    """Draws `<sweep>/sweep.png`: a panel per parameter, a point per trial, the best in red.  None without results."""
    records = [record for record in records if record.last is not None]
    if not records:
        return None
    from matplotlib.figure import Figure

    titles = short_names(varied(records))
    columns = min(len(titles), 3)
    rows = -(-len(titles) // 3)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (parameter, title) in zip(panels, titles.items(), strict=False):
        _draw_panel(axes, [record.values.get(parameter) for record in records], records)
        axes.set(xlabel=title, ylabel=metric)
        axes.grid(alpha=0.3)
    for axes in panels[len(titles) :]:
        axes.set_axis_off()
    path = folder / PICTURE
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path


def _draw_panel(axes: Any, values: list[Any], records: Sequence[Record]) -> None:
    """A scatter plot: numbers on a linear or, for a wide range, logarithmic axis; other values side by side."""
    marks: Mapping[str, int] = {}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        places = values
        if min(values) > 0 and max(values) / min(values) >= 20:
            axes.set_xscale("log")
        elif len(set(values)) <= MOST_TICKS:
            axes.set_xticks(sorted(set(values)))
    else:
        marks = {said: n for n, said in enumerate(sorted({cell(value) for value in values}))}
        places = [marks[cell(value)] for value in values]
        # Knots of a schedule go below each other; other long labels are rotated.
        labels = [said.replace("], [", "],\n[") for said in marks]
        widest = max(len(line) for label in labels for line in label.split("\n"))
        aslant = {"rotation": 30, "ha": "right"} if widest * len(labels) > ROOM_IN_LETTERS else {}
        axes.set_xticks(list(marks.values()), labels, fontsize=8, **aslant)
        axes.margins(x=0.2)
    colours = ["#c53030", *["#2b6cb0"] * (len(records) - 1)]
    axes.scatter(places, [record.last for record in records], c=colours, zorder=3)
