"""One model with one seed: trained where it is not, tested where it is not, gone on with after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_modules.common.errors import UserError
from data_modules.common.files import write_json
from vdsm_glass.arena.entries import Entry
from vdsm_glass.commands.table import run
from vdsm_glass.runs import CHECKPOINTS, LATEST
from vdsm_glass.sweeps.processes import interpreter_line
from vdsm_glass.tables.runs import Stage, chain, newest_results

STATE, LOG = "arena.json", "log.txt"
SAVE_SECONDS = 5.0


@dataclass
class State:
    """How far a bout is, as `arena.json` has it.

    Args:
        options: of every run, as given behind `--`.
        fitted: names of the stages whose training has ended.
        tested: the command line of the newest test that has ended.
        seconds: of all trainings, those of interrupted ones included.
    """

    options: list[str]
    fitted: list[str] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Bout:
    """One model with one seed.

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
        return newest_results(self.last)

    def state(self) -> State:
        """How far it is.  Raises: UserError, it was begun with other options, or the file is damaged."""
        file = self.folder / STATE
        if not file.is_file():
            return State(list(self.options))
        try:
            state = State(**json.loads(file.read_text("utf-8")))
        except (ValueError, TypeError) as error:
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

    def fight(self, show: Callable[[str], object]) -> int:
        """Trains and tests what is missing; what the commands print goes to `log.txt`.

        Args: show, called repeatedly with the running stage's folder below the arena's.
        Returns: 0, or the code of the command that failed or was stopped.
        """
        state, (*fits, test) = self.state(), self.lines
        for stage, words in zip(self.stages, fits, strict=True):
            if stage.name not in state.fitted:
                if code := self.timed(words, state, lambda stage=stage: show(f"{self.name}/{stage.name}")):
                    return code
                state.fitted.append(stage.name)
                self.save(state)
        if not self.done():
            if code := self.logged(test, lambda: show(f"{self.name}/{self.stages[-1].name}")):
                return code
            state.tested = test
            self.save(state)
        return 0

    def timed(self, words: list[str], state: State, tick: Callable[[], object]) -> int:
        """`logged`, and its seconds are saved now and then, because the arena itself may be killed."""
        began, before, saved = time.monotonic(), state.seconds, 0.0

        def tock() -> None:
            nonlocal saved
            state.seconds = before + time.monotonic() - began
            if time.monotonic() - saved > SAVE_SECONDS:
                saved = time.monotonic()
                self.save(state)
            tick()

        code = self.logged(words, tock)
        tock()
        self.save(state)
        return code

    def logged(self, words: list[str], tick: Callable[[], object]) -> int:
        """Runs a command and returns its code."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG).open("ab") as output:
            return run(interpreter_line(words), output=output, tick=tick)

    def save(self, state: State) -> None:
        """Writes `arena.json`."""
        write_json(asdict(state), self.folder / STATE)

    def last_words(self) -> str:
        """The last line of the log, where a command that failed has said why."""
        lines = (self.folder / LOG).read_text("utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
