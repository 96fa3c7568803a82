"""Fights bouts side by side, here or on a cluster, until all have ended or the user stops them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdsm_glass.arena.bouts import Bout, State, Step
from vdsm_glass.sweeps.processes import LOG, SideBySide

SAVE_SECONDS = 5.0


@dataclass
class Fight:
    """A bout that is being fought.

    Args: state, of the bout; steps, its commands that have not ended, the first of which runs; slot, where; code, with
        which the command ends; since, until when the seconds of training are counted, by the monotonic clock; saved,
        when they were saved.
    """

    bout: Bout
    state: State
    steps: list[Step]
    slot: int
    code: Future[int]
    since: float = field(default_factory=time.monotonic)
    saved: float = 0.0

    @property
    def name(self) -> str:
        """The running stage's folder below the arena's."""
        return f"{self.bout.name}/{self.steps[0].stage}"

    @property
    def folder(self) -> Path:
        """The bout's."""
        return self.bout.folder

    def tick(self) -> None:
        """Counts the seconds of a training, and saves them now and then, because the arena itself may be killed."""
        now = time.monotonic()
        if self.steps[0].fits:
            self.state.seconds += now - self.since
            if now - self.saved > SAVE_SECONDS:
                self.saved = now
                self.bout.save(self.state)
        self.since = now


class Fights(SideBySide):
    """Runs the commands of bouts, one of a bout at a time; after a failure it goes on with the other bouts.

    Args: bouts, those that are not done, in the order in which they begin; others, as `SideBySide`.
    """

    def __init__(self, bouts: Sequence[Bout], **others: Any) -> None:
        super().__init__(**others)
        self.waiting, self.total, self.failed = list(bouts), len(bouts), 0

    def run(self) -> int:
        """Fights all.  Returns: 0, 1 if one failed, 130 or 143 if the user stopped them, or someone one of them."""
        self.run_all()
        return self.stopped or int(bool(self.failed))

    def waits(self) -> bool:
        return bool(self.waiting)

    def fill(self, free: list[int]) -> None:
        for slot in free[: len(self.waiting)]:
            bout = self.waiting.pop(0)
            state = bout.state()
            bout.save(state)
            steps = bout.left(state)
            self.say(f"[{self.total - len(self.waiting)}/{self.total}] {bout.name}")
            self.running.append(Fight(bout, state, steps, slot, self.begin(steps[0].words, bout.folder, slot)))

    def look_at(self, each: Fight) -> None:
        """Counts the time of a bout; if its command has ended, notes that and begins the next one."""
        over, bout = each.code.done(), each.bout
        each.tick()
        if not over:
            return
        code = each.code.result()
        bout.save(each.state)
        if code == 0:
            bout.ended(each.steps[0], each.state)
            if len(each.steps) > 1 and not self.stopped:
                each.steps = each.steps[1:]
                each.code = self.begin(each.steps[0].words, bout.folder, each.slot)
                return
        self.running.remove(each)
        self.ended += 1
        if (code and self.stopped) or code >= 128:
            self.say(f"{bout.name}: stopped; repeat the command to go on")
            if not self.stopped:
                self.stopped = code
                self.end_all()
        elif code:
            self.failed += 1
            self.say(f"{bout.name}: failed with code {code}: {bout.last_words()}; see {bout.folder / LOG}")
