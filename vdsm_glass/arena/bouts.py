"""One model with one seed: trained where it is not, tested where it is not, gone on with after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_modules.common.errors import MALFORMED, UserError
from data_modules.common.files import replacing, write_json
from vdsm_glass.arena.entries import Entry
from vdsm_glass.metrics.results import RESULTS
from vdsm_glass.runs import CHECKPOINTS, LATEST
from vdsm_glass.sweeps.processes import LOG
from vdsm_glass.tables.runs import Stage, chain, newest_results

STATE = "arena.json"
DRAWN = "evaluation_*.gif"
"""What a test draws, in its `pictures/` and in the folder of a bout."""


@dataclass
class State:
    """How far a bout is, as `arena.json` has it.

    Args:
        options: of every run, as given behind `--`.
        fitted: names of the stages whose training has ended.
        tested: the command line of the newest test that has ended.
        seconds: of all trainings, those of interrupted ones included.
        parameters: of the network that was tested.
    """

    options: list[str]
    fitted: list[str] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)
    seconds: float = 0.0
    parameters: int | None = None


@dataclass(frozen=True)
class Step:
    """A command of a bout.  Args: stage, whose runs it adds to; words, behind `vdsm-glass`; fits, or else tests."""

    stage: str
    words: list[str]
    fits: bool


@dataclass(frozen=True)
class Bout:
    """One model with one seed.

    What the page shows of it lies in its folder itself: `arena.json`, the results of its newest test and what that has
    drawn. The folders below, with the runs of its stages, are only needed to go on.

    Args: entry, the model; folder, of its runs, `<arena>/<model>/seed_<n>`; options, further ones of every run;
        evaluation, options of the test.
    """

    entry: Entry
    seed: int
    folder: Path
    options: Sequence[str] = ()
    evaluation: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The model and the seed."""
        return f"{self.entry.name}/seed_{self.seed}"

    @property
    def stages(self) -> list[Stage]:
        """Its trainings."""
        return [Stage(recipe.stem, (str(recipe),), epochs=None) for recipe in self.entry.recipes]

    @property
    def lines(self) -> list[list[str]]:
        """`fit` of every stage and `test`, behind `vdsm-glass`."""
        options = ["--seed_everything", str(self.seed), *self.options]
        *fits, test = chain(self.stages, runs=self.folder, options=options)
        return [*fits, [*test, *self.evaluation, "--evaluation.seed", str(self.seed)]]

    @property
    def last(self) -> Path:
        """The folder of the last stage's runs."""
        return self.folder / self.stages[-1].name

    @property
    def checkpoint(self) -> Path:
        """What is tested."""
        return self.last / LATEST / CHECKPOINTS / "last.ckpt"

    @property
    def results(self) -> Path | None:
        """The results file of its newest test."""
        file = self.folder / RESULTS
        return file if file.is_file() else None

    def state(self) -> State:
        """How far it is.  Raises: UserError, it was begun with other options, or the file is damaged."""
        file = self.folder / STATE
        if not file.is_file():
            return State(list(self.options))
        try:
            state = State(**json.loads(file.read_text("utf-8")))
        except MALFORMED as error:
            raise UserError(f"{file} is damaged ({error}); delete the folder {self.folder} to begin anew") from error
        if state.options != list(self.options):
            before, now = (" ".join(options) or "none" for options in (state.options, self.options))
            raise UserError(
                f"{self.folder} was begun with the options `{before}` and would now have `{now}`; repeat it as it was, "
                "or write elsewhere: --runs DIR"
            )
        return state

    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state().tested == self.lines[-1] and self.results is not None

    def left(self, state: State) -> list[Step]:
        """The commands that have not ended, in order."""
        *fits, test = self.lines
        steps = [Step(stage.name, words, fits=True) for stage, words in zip(self.stages, fits, strict=True)]
        left = [step for step in steps if step.stage not in state.fitted]
        return left if self.done() else [*left, Step(self.stages[-1].name, test, fits=False)]

    def ended(self, step: Step, state: State) -> None:
        """Notes that a command has ended well."""
        if step.fits:
            state.fitted.append(step.stage)
        else:
            self.keep_test(state)
            state.tested = step.words
        self.save(state)

    def keep_test(self, state: State) -> None:
        """Copies the results and the drawings of the newest test into the folder, and counts the parameters."""
        from vdsm_glass.architecture import load_checkpoint

        results = newest_results(self.last)
        if results is None:
            raise UserError(f"the test of {self.name} has left no results below {self.last}; see {self.folder / LOG}")
        for file in (*(results.parent / "pictures").glob(DRAWN), results):
            with replacing(self.folder / file.name) as temporary:
                shutil.copyfile(file, temporary)
        network = load_checkpoint(self.checkpoint)[1]
        state.parameters = sum(each.numel() for each in network.parameters())

    def save(self, state: State) -> None:
        """Writes `arena.json`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(asdict(state), self.folder / STATE)

    def last_words(self) -> str:
        """The last line of the log, where a command that failed has said why."""
        lines = (self.folder / LOG).read_text("utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
