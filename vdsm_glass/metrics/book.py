"""The results of one test: on the terminal, as JSON, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_modules.common.errors import UserError
from data_modules.common.files import replacing, write_json
from vdsm_glass.metrics.protocol import NotComputed, Result

if TYPE_CHECKING:
    from rich.console import Console

RESULTS, MARKDOWN = "results.json", "results.md"
FORMAT = "vdsm-glass results 1"
PACKAGES = ("vdsm-glass", "torch", "torchmetrics", "torch-fidelity", "lpips", "scikit-learn")


@dataclass
class Book:
    """Results by name, the newest of each, and what could not be computed."""

    results: dict[str, Result] = field(default_factory=dict)
    not_computed: dict[str, NotComputed] = field(default_factory=dict)

    def add(self, results: Iterable[Result], not_computed: Iterable[NotComputed] = ()) -> None:
        """Enters numbers and gaps; a number closes the gap of its name."""
        self.not_computed |= {gap.name: gap for gap in not_computed}
        for result in results:
            self.results[result.name] = result
            self.not_computed.pop(result.name, None)

    def write(self, folder: Path) -> None:
        """`results.json` and `results.md` in `folder`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(self.to_json(), folder / RESULTS)
        with replacing(folder / MARKDOWN) as temporary:
            temporary.write_text(self.markdown(), encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """All that is known, and the versions of the packages that computed it."""
        return {
            "format": FORMAT,
            "versions": {name: found for name in PACKAGES if (found := _version(name))},
            "results": [result.to_json() for result in self.results.values()],
            "not_computed": [vars(gap) for gap in self.not_computed.values()],
        }

    @classmethod
    def read(cls, file: Path) -> Book:
        """Raises: UserError, the file is missing, damaged or none of ours."""
        try:
            content = json.loads(file.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r}, expected {FORMAT!r}")
            book = cls()
            book.add(map(Result.from_json, content["results"]), (NotComputed(**gap) for gap in content["not_computed"]))
        except FileNotFoundError as error:
            raise UserError(f"{file} is not there; `vdsm-glass test` writes it") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is no results file ({error}); repeat the test that writes it") from error
        return book

    @property
    def values(self) -> dict[str, float]:
        """The bare numbers by name."""
        return {name: result.value for name, result in self.results.items()}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Of each result name, value, what it was measured on and what with."""
        return [(each.name, f"{each.value:.4g}", _on(each), _with(each)) for each in self.results.values()]

    def gaps(self) -> dict[str, list[str]]:
        """The names of what could not be computed, by the reason."""
        found: dict[str, list[str]] = {}
        for gap in self.not_computed.values():
            found.setdefault(gap.reason, []).append(gap.name)
        return found

    def markdown(self) -> str:
        """A table that a README can take in, and below it what could not be computed."""
        lines = ["| measure | value | measured on | with |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows()]
        gaps = [
            f"- {', '.join(f'`{name}`' for name in names)}: not computed: {' '.join(reason.split())}"
            for reason, names in self.gaps().items()
        ]
        return "\n".join([*lines, *([""] if gaps else []), *gaps]) + "\n"

    def show(self, console: Console, *, title: str) -> None:
        """The same on the terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(title))
        table.add_column("measure", overflow="fold")
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("measured on")
        table.add_column("with")
        said = ""
        for name, value, on, with_what in self.rows():
            # What is said of a row holds for those below it.
            table.add_row(escape(name), value, "" if on == said else escape(on), escape(with_what))
            said = on
        console.print(table)
        for reason, names in self.gaps().items():
            console.print(f"{escape(', '.join(names))}: not computed: {escape(reason)}", highlight=False)


def _on(result: Result) -> str:
    protocol = result.protocol
    size = f"{protocol.clips} clips of {protocol.frames}, {protocol.height}x{protocol.width}"
    given = f", {protocol.given_frames} given and not counted" if protocol.given_frames else ""
    return f"{size}; {protocol.generated_by}{given}" if protocol.generated_by else size


def _with(result: Result) -> str:
    return "" if result.network is None else f"{result.network} {(result.checksum or '')[:8]}".strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
