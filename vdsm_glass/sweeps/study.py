"""A sweep's trials: an Optuna study in a journal file, shared by all processes and machines that see its folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from data_modules.common.errors import MALFORMED
from vdsm_glass.sweeps.definition import Sweep, Trial
from vdsm_glass.sweeps.parameters import SweepError, Values
from vdsm_glass.sweeps.processes import TRAINS, locked

JOURNAL = "study.journal"
LOCK = ".lock"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
NAME, ARGUMENTS, SECONDS = "trial", "arguments", "seconds"
Status = Literal["waiting", "running", "stopped", "done", "pruned", "failed"]
STATUS: dict[TrialState, Status] = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Record:
    """What is known of a trial.

    Args:
        status: `stopped` if no process holds a trial that was begun and has not ended.
        last, best: the last and the best value of the sweep's metric.
        seconds: the time that all its processes took.
    """

    name: str
    values: Values
    status: Status = "waiting"
    last: float | None = None
    best: float | None = None
    seconds: float = 0.0


@dataclass
class Taken:
    """A trial that this process is to train.

    Args: trial; asked, the same in Optuna; held, a file descriptor of its lock; again, whether it was begun before;
        seconds, that it took before.
    """

    trial: Trial
    asked: optuna.Trial
    held: int
    again: bool
    seconds: float


class SweepStudy:
    """The trials of a sweep's folder, those of earlier calls and of other processes included.

    Args:
        sweep, folder: the sweep and its folder.
        chosen: its trials; of `bayes`, as many as there are to be.
        options: further options of every trial.
        seed: for `bayes`.
    Raises: SweepError, the file is no journal, or a chosen trial was begun with another command line.
    """

    def __init__(
        self, sweep: Sweep, folder: Path, chosen: Sequence[Trial], *, options: Sequence[str] = (), seed: int = 0
    ) -> None:
        self.sweep, self.folder, self.options, self.seed = sweep, folder, options, seed
        self.chosen = chosen
        self.tried: set[str] = set()
        self.elsewhere: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / LOCK)
        with self.lock:
            self.study = self._open(folder / JOURNAL)
        for trial in self._trials():
            begun = self._newest().get(trial.name)
            if begun and begun.user_attrs[ARGUMENTS] != (now := sweep.arguments(trial, options)):
                raise SweepError(
                    f"{folder}: trial {trial.name} was begun as `{' '.join(begun.user_attrs[ARGUMENTS])}` and would "
                    f"now be `{' '.join(now)}`; repeat it as it was, or write elsewhere: --runs DIR"
                )

    def _open(self, file: Path) -> optuna.Study:
        """The study of this metric and these parameters; it takes over what has ended in studies of other parameters.

        Optuna's studies have fixed choices, and a person may add a value to the file.
        """
        kind = f"{self.sweep.name}: {self.sweep.goal} {self.sweep.metric}, "
        name = kind + hashlib.sha256(json.dumps(self.sweep.parameters, sort_keys=True).encode()).hexdigest()[:6]
        try:
            storage = JournalStorage(JournalFileBackend(str(file), lock_obj=JournalFileOpenLock(str(file))))
            others = [other for other in optuna.get_all_study_names(storage) if other.startswith(kind)]
        except MALFORMED as error:
            raise SweepError(f"{file}: this is not a sweep's journal ({error}); move it away to start again") from error
        study = optuna.create_study(
            storage=storage, study_name=name, direction=self.sweep.goal, pruner=self.sweep.pruner, load_if_exists=True
        )
        old = [optuna.load_study(study_name=other, storage=storage) for other in others if name not in others]
        ended = {each.user_attrs[NAME]: each for other in old for each in other.get_trials(states=ENDED)}
        for name, trial in ended.items():
            # Optuna refuses values that the file no longer has.
            with suppress(KeyError, ValueError):
                if self.sweep.trial(trial.params).name == name:
                    trial.distributions = self.sweep.space
                    study.add_trial(trial)
        return study

    def _newest(self) -> dict[str, FrozenTrial]:
        """The newest attempt at every trial that was begun, by name."""
        return {
            each.user_attrs[NAME]: each for each in self.study.get_trials(deepcopy=False) if NAME in each.user_attrs
        }

    def _trials(self) -> Sequence[Trial]:
        """The chosen trials; of `bayes` those that were begun."""
        if self.sweep.method != "bayes":
            return self.chosen
        return [self.sweep.trial(each.params) for each in self._newest().values()]

    def take(self) -> Taken | None:
        """The next trial, which no other process can take; once begun here, it is not taken here again.

        None if there is no other; `elsewhere` then names those that other processes are training.
        """
        with self.lock:
            newest, self.elsewhere = self._newest(), []
            for trial in self._trials():
                if trial.name in self.tried or (trial.name in newest and newest[trial.name].state in ENDED):
                    continue
                if (held := self._hold(trial.name)) is None:
                    self.elsewhere.append(trial.name)
                elif (before := self._newest().get(trial.name)) and before.state in ENDED:
                    os.close(held)  # It ended while this was looking for it.
                else:
                    return self._begin(trial, held, before)
            return self._draw() if self.sweep.method == "bayes" else None

    def _begin(self, trial: Trial, held: int, before: FrozenTrial | None) -> Taken:
        """A trial with given values."""
        if before and before.state == TrialState.RUNNING:
            self.study.tell(before.number, state=TrialState.FAIL)
        self.study.enqueue_trial(trial.drawn)
        while (asked := self.study.ask(self.sweep.space)).params != trial.drawn:
            self.study.tell(asked, state=TrialState.FAIL)  # A process that was killed here has left it.
        return self._taken(trial, asked, held, before)

    def _draw(self) -> Taken | None:
        """A trial that Optuna chooses by the results so far; if it was begun before, it counts and is not repeated."""
        while self._drawn() < len(self.chosen):
            number = len(self.study.get_trials(deepcopy=False))
            seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            self.study.sampler = optuna.samplers.TPESampler(seed=seed)
            asked = self.study.ask(self.sweep.space)
            trial = self.sweep.trial(asked.params)
            if trial.name not in self._newest() and (held := self._hold(trial.name)) is not None:
                return self._taken(trial, asked, held, None)
            self.study.tell(asked, state=TrialState.FAIL)
        return None

    def _drawn(self) -> int:
        """How many trials Optuna has chosen; those that it chose twice have failed and have no name."""
        found = self.study.get_trials(deepcopy=False)
        return len(self._newest()) + sum(NAME not in e.user_attrs and e.state == TrialState.FAIL for e in found)

    def left(self) -> int:
        """How many trials have not ended."""
        newest = self._newest()
        begun = sum(each.name not in newest or newest[each.name].state not in ENDED for each in self._trials())
        return begun + (max(0, len(self.chosen) - self._drawn()) if self.sweep.method == "bayes" else 0)

    def _taken(self, trial: Trial, asked: optuna.Trial, held: int, before: FrozenTrial | None) -> Taken:
        asked.set_user_attr(ARGUMENTS, self.sweep.arguments(trial, self.options))
        asked.set_user_attr(NAME, trial.name)
        self.tried.add(trial.name)
        return Taken(trial, asked, held, before is not None, before.user_attrs.get(SECONDS, 0.0) if before else 0.0)

    def _hold(self, name: str) -> int | None:
        """A file descriptor of the trial's lock; None if another process holds it, or trains the trial."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        if (held := locked(folder / LOCK)) is None:
            return None
        if (trains := locked(folder / TRAINS)) is None:
            os.close(held)
            return None
        os.close(trains)
        return held

    def end(self, taken: Taken, status: Status, *, seconds: float, last: float) -> None:
        """Records how a trial ended, in how many seconds, with the metric's last value, and lets go of it."""
        taken.asked.set_user_attr(SECONDS, round(taken.seconds + seconds, 1))
        if status == "done":
            self.study.tell(taken.asked, last)
        elif status != "stopped":
            self.study.tell(taken.asked, state=TrialState.PRUNED if status == "pruned" else TrialState.FAIL)
        os.close(taken.held)

    def records(self) -> list[Record]:
        """What is known of each trial, best first; those without a result last."""
        newest = self._newest()
        found = [self._record(trial, newest.get(trial.name)) for trial in self._trials()]
        sign = -1 if self.sweep.goal == "maximize" else 1
        return sorted(found, key=lambda record: (record.last is None, sign * (record.last or 0)))

    def _record(self, trial: Trial, found: FrozenTrial | None) -> Record:
        if found is None:
            return Record(trial.name, trial.values)
        status = STATUS.get(found.state)
        if status is None and (held := self._hold(trial.name)) is not None:
            os.close(held)
            status = "stopped"
        measured = found.intermediate_values.values() if found.state in ENDED else ()
        best = (min if self.sweep.goal == "minimize" else max)(measured, default=None)
        return Record(
            trial.name, trial.values, status or "running", found.value, best, found.user_attrs.get(SECONDS, 0.0)
        )

    def importances(self) -> dict[str, float]:
        """How much of the metric's variation each varied parameter explains; empty if too few trials are done."""
        varied = [name for name, distribution in self.sweep.space.items() if not distribution.single()]
        done = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(done) <= len(varied) or len({each.value for each in done}) == 1:
            return {}
        return optuna.importance.get_param_importances(self.study, params=varied)
