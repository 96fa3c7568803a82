"""What the models of an arena have scored: means and intervals over seeds, and which of them beat the trivial ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import mean, stdev

from vdsm_glass.arena.entries import Entry
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.recipes import name_of
from vdsm_glass.tables.published import Column, names, read
from vdsm_glass.tables.render import BETTER, NOT_RUN, Sheet

PROTOCOLS = ("reconstruction", "transfer")
"""Under which models are compared, as far as they have them."""
CONFIDENCE = 0.95
COUNTED = "first_frame_counted"
REAL = "/real/"
"""What a judge says of real clips."""
MORE = ("psnr", "ssim")
"""Metrics of generated clips of which more is better; of all others less is."""
LABELLED = {
    **dict.fromkeys(("miou", "miou_re", "miou_re_teacher_forced", "nmi_g", "nmi_rest", "delta_acc"), "more"),
    **dict.fromkeys(("action_from_d", "identity_from_s"), "more"),
    **dict.fromkeys(("foreground_shift_error", "background_shift_error", "con", "delta_mse"), "less"),
}
"""Scores against labels, and whether more or less is better."""


@dataclass(frozen=True)
class Score:
    """A number over seeds.

    Args: mean; half, of the interval of confidence by Student's t; None of one seed; seeds, how many.
    """

    mean: float
    half: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Score:
        """The score of one value for each seed."""
        n = len(values)
        if n == 1:
            return cls(values[0], None, 1)
        from scipy.stats import t

        return cls(mean(values), float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(values) / sqrt(n), n)

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.half is None else f"{self.mean:.4g} ± {self.half:.2g}"

    def against(self, other: Score, better: str) -> str:
        """Whether it is better: "yes", "no", or "unsure" where both intervals overlap."""
        gap = (self.mean - other.mean) * (1 if better == "more" else -1)
        if gap <= 0:
            return "no"
        return "yes" if gap > (self.half or 0) + (other.half or 0) else "unsure"


@dataclass(frozen=True)
class Contender:
    """A model in the arena and what was measured of it.

    Args: results, of each seed; parameters, of the network; seconds, its training took on average; None if unknown.
    """

    entry: Entry
    title: str
    trivial: bool
    results: Sequence[ResultSet]
    parameters: int | None = None
    seconds: float | None = None
    published: Mapping[str, str] = field(default_factory=dict)

    def score(self, measure: str) -> Score | None:
        """A number over the seeds that have it."""
        values = [found.values[measure] for found in self.results if measure in found.values]
        return Score.of(values) if values else None


def published(entry: Entry) -> dict[str, str]:
    """What papers print of a model trained by this recipe or its model's of the same data and run, by measure."""
    where = [name_of(recipe).split("/")[1:] for recipe in entry.recipes]
    found: dict[str, str] = {}
    for table in map(read, names()):
        if where not in [[recipe.split("/")[1:] for recipe in budget.recipes] for budget in table.budgets.values()]:
            continue
        for name, row in table.rows.items():
            if row.overlay is None and name.split()[0].lower() == entry.name:
                found |= {table.columns[title].measure: printed for title, printed in row.published.items()}
    return found


def columns(contenders: Sequence[Contender]) -> dict[str, Column]:
    """The metrics that some model has, by title."""
    printed = {name for each in contenders for name in each.published}
    found: dict[str, Column] = {}
    measured = dict.fromkeys(name for each in contenders for book in each.results for name in book.results)
    # What all models have comes first.
    for name in sorted(measured, key=lambda name: not name.startswith(PROTOCOLS)):
        protocol, _, metric = name.partition("/")
        better = LABELLED.get(name)
        if protocol in PROTOCOLS and (COUNTED not in name or name in printed):
            better = "more" if metric.rpartition("/")[2] in MORE else "less"
        elif protocol == "judge" and name.endswith("/acc"):
            better = "more"
        if better is not None:
            found[name.replace("/", " ").replace("_", " ")] = Column(name, better)  # pyright: ignore[reportArgumentType]
    return found


def sheet(contenders: Sequence[Contender], shown: Mapping[str, Column]) -> Sheet:
    """The table: rows models, columns metrics."""
    header = ["", *(named(title, column) for title, column in shown.items()), "parameters", "training"]
    rows = []
    for each in contenders:
        cells = [f"{each.title}{' (trivial)' if each.trivial else ''}"]
        for column in shown.values():
            score, printed = each.score(column.measure), each.published.get(column.measure)
            cells.append(f"{NOT_RUN if score is None else score}{f' (paper: {printed})' if printed else ''}")
        cells.append("" if each.parameters is None else f"{each.parameters:,}".replace(",", " "))
        cells.append("" if each.seconds is None else duration(each.seconds))
        rows.append(cells)
    return Sheet(header, rows, notes(contenders))


def verdicts(contenders: Sequence[Contender], shown: Mapping[str, Column]) -> Sheet:
    """Whether models that learn beat all trivial ones: rows metrics, columns models; the first row counts."""
    rivals: dict[str, dict[str, Score]] = {}
    for title, column in shown.items():
        if REAL in column.measure:  # the same for all models
            continue
        scores = {each.title: each.score(column.measure) for each in contenders if each.trivial}
        if found := {name: score for name, score in scores.items() if score is not None}:
            rivals[title] = found
    learners = [each for each in contenders if not each.trivial]
    rows = []
    for title, of in rivals.items():
        measure, better = shown[title].measure, shown[title].better
        rows.append([named(title, shown[title]), *(verdict(each.score(measure), of, better) for each in learners)])
    if not learners or not rows:
        return Sheet([], [])
    said = [[cell for cell in column if cell != NOT_RUN] for column in list(zip(*rows, strict=True))[1:]]
    won = [f"{column.count('yes')} of {len(column)}" for column in said]
    return Sheet(["metric", *(each.title for each in learners)], [["metrics won", *won], *rows])


def named(title: str, column: Column) -> str:
    """A metric's title, and whether more of it is better."""
    return f"{title} {BETTER[column.better]}"


def verdict(own: Score | None, rivals: Mapping[str, Score], better: str) -> str:
    """Says "yes" where a score beats all of its rivals; else "no" or "unsure", and against whom."""
    if own is None:
        return NOT_RUN
    said: dict[str, list[str]] = {"no": [], "unsure": [], "yes": []}
    for name, score in rivals.items():
        said[own.against(score, better)].append(name)
    parts = [f"{word}: {', '.join(said[word])}" for word in ("no", "unsure") if said[word]]
    return "; ".join(parts) or "yes"


def notes(contenders: Sequence[Contender]) -> list[str]:
    """How the numbers were measured, where that differs between models, and what could not be computed."""
    clips: dict[str, list[str]] = {}
    gaps: dict[str, str] = {}
    for each in contenders:
        for book in each.results:
            for name, result in book.results.items():
                if name.startswith(PROTOCOLS):
                    on = result.protocol
                    where = f"{on.clips} clips of {on.frames} frames, {on.height}x{on.width}, stride {on.stride}"
                    clips.setdefault(where, [])
                    if each.title not in clips[where]:
                        clips[where].append(each.title)
            gaps |= {gap.name.partition("/")[2] or gap.name: gap.reason for gap in book.not_computed.values()}
    said = [f"Test split: {where}." for where in clips]
    if len(clips) > 1:
        said = ["The clips differ, so that numbers cannot be compared:"]
        said += [f"{where}: {', '.join(names)}." for where, names in clips.items()]
    seeds = " or ".join(map(str, sorted({len(each.results) for each in contenders})))
    said.append(
        f"Means over {seeds} seed(s), ± half of the {CONFIDENCE:.0%} interval by Student's t. "
        f"{BETTER['more']} more is better, {BETTER['less']} less is better, {NOT_RUN} not measured."
    )
    return [*said, *(f"{name}: not computed: {' '.join(why.split())}." for name, why in gaps.items())]


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(35), duration(150), duration(9000)
    ('35 s', '2.5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
