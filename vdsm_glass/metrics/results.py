"""Numbers, what each was measured on and with, and the set of them that one test gives: as a table, JSON, Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_modules.common.errors import MALFORMED, UserError
from data_modules.common.files import replacing, write_json

if TYPE_CHECKING:
    from rich.console import Console

RESULTS, MARKDOWN = "results.json", "results.md"
FORMAT = "vdsm-glass results 1"
PACKAGES = ("vdsm-glass", "torch", "torchmetrics", "torch-fidelity", "lpips", "scikit-learn")


@dataclass(frozen=True)
class Protocol:
    """What was scored against what.

    Args:
        split: of the dataset.
        clips, frames, height, width: of the real side; frames of a clip.
        stride: dataset frames from one frame to the next.
        generated_by: how the generated clips were made; empty if only real clips were scored.
        given_frames: leading frames that the generator was given and that are not counted.
        network_mode: of the batch norms.
    """

    split: str
    clips: int
    frames: int
    height: int
    width: int
    stride: int = 1
    generated_by: str = ""
    given_frames: int = 0
    network_mode: str = "eval"


@dataclass(frozen=True)
class Result:
    """A number.

    Args:
        network, checksum: of the weights that the metric's features come from; None if it has no weights.
        seconds: the metric's computing time in this process.
        per_position: the score of each frame of a clip, if the metric has one.
    """

    name: str
    value: float
    protocol: Protocol
    network: str | None = None
    checksum: str | None = None
    seconds: float | None = None
    per_position: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it, without what is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Result:
        """The result that `to_json` wrote.  Raises: KeyError or TypeError, the content has another form."""
        given: dict[str, Any] = content | {"protocol": Protocol(**content["protocol"])}
        made = cls(**given)
        return made if made.per_position is None else replace(made, per_position=tuple(made.per_position))

    @property
    def measured_on(self) -> str:
        """The clips, in words."""
        on = self.protocol
        size = f"{on.clips} clips of {on.frames}, {on.height}x{on.width}"
        given = f", {on.given_frames} given and not counted" if on.given_frames else ""
        return f"{size}; {on.generated_by}{given}" if on.generated_by else size

    @property
    def measured_with(self) -> str:
        """The network and the beginning of its checksum; empty if there is none."""
        return "" if self.network is None else f"{self.network} {(self.checksum or '')[:8]}".strip()


@dataclass(frozen=True)
class NotComputed:
    """A number that was asked for but could not be computed, and why."""

    name: str
    reason: str


@dataclass
class ResultSet:
    """The newest result of each name, and what could not be computed."""

    results: dict[str, Result] = field(default_factory=dict)
    not_computed: dict[str, NotComputed] = field(default_factory=dict)

    def add(self, results: Iterable[Result], not_computed: Iterable[NotComputed] = ()) -> None:
        """Adds results and gaps; a result removes the gap of its name."""
        self.not_computed |= {gap.name: gap for gap in not_computed}
        for result in results:
            self.results[result.name] = result
            self.not_computed.pop(result.name, None)

    def write(self, folder: Path) -> None:
        """Writes `results.json` and `results.md` in `folder`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(self.to_json(), folder / RESULTS)
        with replacing(folder / MARKDOWN) as temporary:
            temporary.write_text(self.markdown(), encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """The results, the gaps, and the versions of the packages that computed them."""
        return {
            "format": FORMAT,
            "versions": {name: found for name in PACKAGES if (found := _version(name))},
            "results": [result.to_json() for result in self.results.values()],
            "not_computed": [vars(gap) for gap in self.not_computed.values()],
        }

    @classmethod
    def read(cls, file: Path) -> ResultSet:
        """The results in a file that `write` wrote.  Raises: UserError, it is missing, damaged or another file."""
        try:
            content = json.loads(file.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r}, expected {FORMAT!r}")
            found = cls()
            found.add(
                map(Result.from_json, content["results"]), (NotComputed(**gap) for gap in content["not_computed"])
            )
        except FileNotFoundError as error:
            raise UserError(f"{file} is not there; `vdsm-glass test` writes it") from error
        except (OSError, *MALFORMED) as error:
            raise UserError(f"{file} is not a results file ({error}); repeat the test that writes it") from error
        return found

    @property
    def values(self) -> dict[str, float]:
        """The bare numbers by name."""
        return {name: result.value for name, result in self.results.items()}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """For each result its name, value, and what it was measured on and with."""
        return [
            (each.name, f"{each.value:.4g}", each.measured_on, each.measured_with) for each in self.results.values()
        ]

    def gaps(self) -> dict[str, list[str]]:
        """The names of what could not be computed, by the reason."""
        found: dict[str, list[str]] = {}
        for gap in self.not_computed.values():
            found.setdefault(gap.reason, []).append(gap.name)
        return found

    def markdown(self) -> str:
        """A Markdown table, followed by what could not be computed."""
        lines = ["| measure | value | measured on | with |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows()]
        gaps = [
            f"- {', '.join(f'`{name}`' for name in names)}: not computed: {' '.join(reason.split())}"
            for reason, names in self.gaps().items()
        ]
        return "\n".join([*lines, *([""] if gaps else []), *gaps]) + "\n"

    def show(self, console: Console, *, title: str) -> None:
        """Prints the table and what could not be computed."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(title))
        table.add_column("measure", overflow="fold")
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("measured on")
        table.add_column("with")
        above = ""
        for name, value, on, with_what in self.rows():
            # An empty cell means the same as the cell above it.
            table.add_row(escape(name), value, "" if on == above else escape(on), escape(with_what))
            above = on
        console.print(table)
        for reason, names in self.gaps().items():
            console.print(f"{escape(', '.join(names))}: not computed: {escape(reason)}", highlight=False)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
