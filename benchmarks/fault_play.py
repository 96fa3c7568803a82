"""Twenty at once on the page of GLASS: memory stays flat, every answer is soon there, and no one sees another's.

A client does what a browser does: it fetches the page, opens its socket, presses a button for a local action of its
own, waits for the picture, and presses again a while later. A picture or a line of moves that comes to a client which
did not ask for it, or that tells of another's action, has left its session.
"""

from __future__ import annotations

import ast
import asyncio
import html
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import PROC
from benchmarks.play import glass_run
from tests.vdsm_glass.play.browser import Program

GOAL_MS, GOAL_GROWTH = 300, 0.05
PAUSE = 2.0
"""Seconds between two presses of a client, on average."""
A_CLIP = 200
"""After how many presses a client begins a new clip; none may have more than a thousand frames."""
ARRIVAL = 1.0
"""Seconds from one client's coming to the next one's: a page is built in a tenth of a second, which the others wait."""
WARM = 0.2
"""Share of the time after which memory must be flat."""


class Player:
    """One client.  Args: address of the page; number, which says its action."""

    def __init__(self, address: str, number: int) -> None:
        self.address, self.number = address.rstrip("/"), number
        self.times: list[float] = []
        self.began: list[float] = []
        self.wrong: list[str] = []
        self.picture = asyncio.Event()
        self.asked = False
        self.move = ""

    async def play(self, until: float) -> None:
        """Presses until the time is over."""
        import httpx
        import socketio

        await asyncio.sleep(ARRIVAL * self.number)
        async with httpx.AsyncClient(timeout=60) as browser:
            page = (await browser.get(f"{self.address}/")).text
        elements = json.loads(html.unescape(re.search(r"parseElements\(String\.raw`(.*?)`", page, re.S)[1]))  # pyright: ignore[reportOptionalSubscript]
        query = ast.literal_eval(re.search(r"query: (\{.*?\}),?\n", page)[1])  # pyright: ignore[reportOptionalSubscript]
        buttons = {
            element["props"]["aria-label"]: (int(name), element["events"][0]["listener_id"])
            for name, element in elements.items()
            if element.get("events") and "aria-label" in element.get("props", {})
        }
        actions = [label for label in buttons if label.startswith("local action")]
        begin = next(label for label in buttons if label.startswith("start from"))
        mine = sorted(actions)[self.number % len(actions)]
        self.move = f"·{mine.split()[-1]}"
        client = socketio.AsyncClient(reconnection=False)
        client.on("update", self.seen)
        words = "&".join(f"{key}={value}" for key, value in query.items())
        ids = {"client_id": query["client_id"], "document_id": f"d{self.number}", "tab_id": f"t{self.number}"}
        await client.connect(
            f"{self.address}?{words}", socketio_path="/_nicegui_ws/socket.io", transports=["websocket"], wait_timeout=60
        )
        await client.call("handshake", ids | {"old_tab_id": None, "next_message_id": 0}, timeout=60)
        await asyncio.sleep(PAUSE)
        draw = random.Random(self.number)

        async def press(label: str) -> None:
            element, listener = buttons[label]
            event = {"id": element, "client_id": query["client_id"], "listener_id": listener, "args": []}
            await client.emit("event", event)

        while time.monotonic() < until:
            if len(self.times) % A_CLIP == A_CLIP - 1:
                self.asked = True
                await press(begin)
                await asyncio.sleep(PAUSE)
            self.picture.clear()
            self.asked, began = True, time.monotonic()
            await press(mine)
            try:
                await asyncio.wait_for(self.picture.wait(), timeout=60)
            except TimeoutError:
                self.wrong.append("no picture within a minute")
                break
            self.times.append(time.monotonic() - began)
            self.began.append(began)
            await asyncio.sleep(0.3)  # the words that come with the picture
            self.asked = False
            await asyncio.sleep(draw.uniform(0, 2 * PAUSE))
        await client.disconnect()

    def seen(self, message: dict[str, Any]) -> None:
        """Looks at what came."""
        for element in message.values():
            props = element.get("props", {}) if isinstance(element, dict) else {}
            if str(props.get("src", "")).startswith("data:image"):
                if not self.asked:
                    self.wrong.append("a picture that was not asked for")
                self.picture.set()
            moves = str(element.get("text", "")).split() if isinstance(element, dict) else []
            if moves and moves[0].startswith("·") and set(moves) != {self.move}:
                self.wrong.append(f"the moves {' '.join(moves)[-40:]}, where all are {self.move}")


async def all_play(address: str, clients: int, seconds: float, watch: Callable[[float], None]) -> list[Player]:
    """Lets them play.  Args: watch, called every second with the share of the time that is over."""
    players = [Player(address, number) for number in range(clients)]
    began = time.monotonic()
    playing = [asyncio.create_task(player.play(began + seconds)) for player in players]
    while not all(task.done() for task in playing):
        watch(min(1.0, (time.monotonic() - began) / seconds))
        await asyncio.sleep(1)
    for player, task in zip(players, playing, strict=True):
        if error := task.exception():
            player.wrong.append(f"{type(error).__name__}: {error}")
    return players


def run(count: int, _seed: int, state: Path, progress: Callable[[int], None], *, minutes: int) -> dict[str, Any]:
    """`count` clients play for so many minutes.

    Returns: milliseconds of answers, bytes of memory after a fifth of the time and at most after that, what was wrong.
    """
    memory: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as name:
        program = Program(glass_run(Path(name) / "glass"), Path(name) / "tmp")
        try:
            address = program.opened()

            def watch(share: float) -> None:
                lines = (PROC / str(program.process.pid) / "status").read_text().splitlines()
                memory.append((share, next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024))
                state.write_text(json.dumps(memory))
                progress(int(share * count))

            players = asyncio.run(all_play(address, count, 60 * minutes, watch))
        finally:
            program.end()
    times = [1000 * each for player in players for each in player.times]
    warm = [size for share, size in memory if share >= WARM] or [memory[-1][1]]
    growth = max(warm) / warm[0] - 1
    wrong = [f"client {player.number}: {each}" for player in players for each in player.wrong]
    wrong += [f"memory grew by {growth:.1%}"] if growth > GOAL_GROWTH else []
    asked = [each for player in players for each in player.began]
    late = sorted(at - min(asked) for at, each in zip(asked, times, strict=True) if each > GOAL_MS)
    wrong += [f"{len(late)} of {len(times)} answers took over {GOAL_MS} ms"] if late else []
    return {
        "wrong": len(wrong),
        "kinds": wrong[:20],
        "answers": len(times),
        "median_ms": round(statistics.median(times or [0.0]), 1),
        "most_ms": round(max(times, default=0.0), 1),
        "late_after_s": [round(each, 1) for each in late],
        "memory_bytes": [warm[0], max(warm)],
    }
