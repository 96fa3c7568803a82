"""The state of a sweep's trials, in a JSON file that is replaced atomically."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from data_modules.common.files import write_json
from vdsm_glass.sweeps.parameters import SweepError

STATE = "sweep.json"
LOCK = ".lock"
Status = Literal["waiting", "running", "done", "stopped", "failed"]


@dataclass
class Record:
    """What is known of a trial.

    Args:
        values: its parameters.
        arguments: its command line behind `python -m vdsm_glass`.
        status: `running` in the file of a sweep that no process holds means that the sweep was killed.
        code: the exit code of its last process.   seconds: the time that all its processes took.
        last, best: the last and the best value of the sweep's metric.
    """

    values: dict[str, Any]
    arguments: list[str]
    status: Status = "waiting"
    code: int | None = None
    seconds: float = 0.0
    last: float | None = None
    best: float | None = None


@dataclass
class State:
    """All trials of a sweep's folder, those of earlier calls included.

    Args: folder, the sweep's; metric, goal, from its file; trials, by name.
    """

    folder: Path
    metric: str
    goal: str
    trials: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, *, metric: str, goal: str) -> State:
        """Reads the folder's state, empty for a new sweep.  Raises: SweepError, the file is not a sweep's state."""
        file = folder / STATE
        state = cls(folder=folder, metric=metric, goal=goal)
        if file.is_file():
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
                state.trials = {name: Record(**record) for name, record in content["trials"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SweepError(
                    f"{file}: this is not a sweep's state ({error}); move it away to start again"
                ) from error
        return state

    def take_in(self, name: str, values: Mapping[str, Any], arguments: list[str]) -> Record:
        """The trial's record, made if there is none.

        Raises: SweepError, the trial was begun with another command line, so its results would be taken for these.
        """
        record = self.trials.setdefault(name, Record(values=dict(values), arguments=arguments))
        if record.arguments != arguments:
            if record.status != "waiting":
                raise SweepError(
                    f"{self.folder}: trial {name} was begun as `{' '.join(record.arguments)}` and would now be "
                    f"`{' '.join(arguments)}`; repeat it as it was, or write elsewhere: --runs DIR"
                )
            record.arguments = arguments
        return record

    def write(self) -> None:
        """Writes the file atomically."""
        trials = {name: asdict(record) for name, record in self.trials.items()}
        write_json({"metric": self.metric, "goal": self.goal, "trials": trials}, self.folder / STATE)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Locks the sweep's folder and yields the lock's file descriptor, which trials inherit.

    A trial that outlives a killed sweep still holds the lock, so no second process trains into the same run.
    Raises: SweepError, another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepError(
                f"{folder}: this sweep is being run, or a trial of one that was killed still trains; wait for it, or "
                "end it (kill its `vdsm_glass fit` process: it saves itself), then repeat the command"
            ) from None
        yield file.fileno()
