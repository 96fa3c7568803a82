"""Fights bouts side by side, here or on a cluster, until all have ended or the user stops them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from vdsm_glass.arena.bouts import Bout, State, Step
from vdsm_glass.sweeps.processes import LOG, POLL_SECONDS, ask_to_stop, begun, pass_on, stop_signals

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

    def tick(self) -> None:
        """Counts the seconds of a training, and saves them now and then, because the arena itself may be killed."""
        now = time.monotonic()
        if self.steps[0].fits:
            self.state.seconds += now - self.since
            if now - self.saved > SAVE_SECONDS:
                self.saved = now
                self.bout.save(self.state)
        self.since = now


class Fights:
    """Runs the commands of bouts, one of a bout at a time; after a failure it goes on with the other bouts.

    Args:
        bouts: those that are not done, in the order in which they begin.
        pool: runs `train`.
        slots: a dictionary of environment variables for each bout that is fought at the same time.
        say: takes lines of progress.
        show: is called repeatedly with the names of the running stages and the number of bouts that have ended.
    """

    def __init__(
        self,
        bouts: Sequence[Bout],
        *,
        pool: Executor,
        slots: Sequence[Mapping[str, str]],
        say: Callable[[str], None] = print,
        show: Callable[[Sequence[str], int], None] = lambda *_: None,
    ) -> None:
        self.waiting, self.total = list(bouts), len(bouts)
        self.pool, self.slots, self.say, self.show = pool, slots, say, show
        self.running: list[Fight] = []
        self.ended, self.failed, self.stopped = 0, 0, 0

    def run(self) -> int:
        """Fights all.  Returns: 0, 1 if one failed, 130 or 143 if the user stopped them, or someone one of them."""
        passed_on = 0
        with stop_signals() as asked:
            try:
                while self.running or (self.waiting and not self.stopped):
                    passed_on = pass_on(asked, passed_on, [each.bout.folder for each in self.running], self.say)
                    self.stopped = 128 + asked[0] if asked else self.stopped
                    for each in list(self.running):
                        self.look_at(each)
                    self.fill()
                    self.show([each.name for each in self.running], self.ended)
                    time.sleep(POLL_SECONDS)
            finally:
                self.end_all()  # only after an error is there one left
        return self.stopped or int(bool(self.failed))

    def fill(self) -> None:
        """Begins bouts in the free slots, as long as there are some."""
        free = sorted(set(range(len(self.slots))) - {each.slot for each in self.running})
        while free and self.waiting and not self.stopped:
            bout, slot = self.waiting.pop(0), free.pop(0)
            state = bout.state()
            bout.save(state)
            steps = bout.left(state)
            self.say(f"[{self.total - len(self.waiting)}/{self.total}] {bout.name}")
            self.running.append(Fight(bout, state, steps, slot, self.begin(bout, steps[0], slot)))

    def begin(self, bout: Bout, step: Step, slot: int) -> Future[int]:
        """Starts a command."""
        return begun(self.pool, step.words, bout.folder, self.slots[slot])

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
                each.code = self.begin(bout, each.steps[0], each.slot)
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

    def end_all(self) -> None:
        """Asks all that run to save their state and end."""
        for each in self.running:
            ask_to_stop(each.bout.folder, signal.SIGTERM)
