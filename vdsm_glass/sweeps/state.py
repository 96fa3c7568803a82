"""What has become of a sweep's trials, in one JSON file that is there in whole or not at all."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from data_modules.common.files import write_json
from vdsm_glass.sweeps.space import SweepError

STATE = "sweep.json"
LOCK = ".lock"
Status = Literal["waiting", "running", "done", "stopped", "failed"]


@dataclass
class Record:
    """A trial's fate.

    Args:
        values: its parameters.
        arguments: its command line behind `python -m vdsm_glass`.
        status: `running` in a file that nobody works on means that the sweep was killed.
        code: the exit code of its last run.   seconds: of all its runs.
        last, best: the sweep's metric at the end of training, and at its best.
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
    """All trials that a sweep's folder knows, also of earlier calls.

    Args: folder, the sweep's; metric, goal: as its file says; trials, by name.
    """

    folder: Path
    metric: str
    goal: str
    trials: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, *, metric: str, goal: str) -> State:
        """What the folder holds; nothing, if the sweep is new.  Raises: SweepError, a file that is not ours."""
        file = folder / STATE
        state = cls(folder=folder, metric=metric, goal=goal)
        if file.is_file():
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
                state.trials = {name: Record(**record) for name, record in content["trials"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SweepError(f"{file}: is no sweep's state ({error}); move it away to begin anew") from error
        return state

    def take_in(self, name: str, values: Mapping[str, Any], arguments: list[str]) -> Record:
        """The trial's record, new if there is none.

        Raises: SweepError, it is there under another command line: what was trained before would be taken for this.
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
        """Writes the file, at once."""
        trials = {name: asdict(record) for name, record in self.trials.items()}
        write_json({"metric": self.metric, "goal": self.goal, "trials": trials}, self.folder / STATE)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Holds the sweep's folder; gives the lock's file descriptor, for trials to inherit.

    A trial that outlives a killed sweep still holds it: nobody trains into the same run a second time.
    Raises: SweepError, somebody else holds it.
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
