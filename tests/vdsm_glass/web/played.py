"""A page that was exported, served by Python, played in a browser by random keys, and compared with PyTorch."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.processes import kill_all_of
from tests.vdsm_glass.play.browser import hosts_asked, until
from vdsm_glass.commands.play import to_play
from vdsm_glass.pictures import to_uint8
from vdsm_glass.play.clips import clips_to_play
from vdsm_glass.play.controls import ARROWS, GlassControls, Verb
from vdsm_glass.play.session_glass import GlassSession, Move
from vdsm_glass.play.session_vdsm import LONG, Board, VDSMSession

KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015"}
SHIFT = "\ue008"
READY = {"glass": "frame 1 of 1", "vdsm": "ms each"}
"""What a page says once its first frames are there."""


@dataclass
class Played:
    """What was seen.

    Args: off, the greatest difference of each picture to PyTorch's, in steps of 1/255; milliseconds, of each frame
        that networks drew; seen, the different pictures.
    """

    off: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which Python's own server has a folder."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().split('port ')[1].split()[0]}/"
    finally:
        kill_all_of(server.pid)
        server.communicate()


@contextmanager
def opened(driver: Any, folder: Path, *, says: str) -> Iterator[None]:
    """The page, until it says something. It asks no other host for anything, and has no complaints."""
    with served(folder) as address:
        hosts_asked(driver)
        driver.get(address)
        until(lambda: says in driver.execute_script("return document.body.innerText"), says)
        yield
        assert hosts_asked(driver) == {"127.0.0.1"}
        assert [entry["message"] for entry in driver.get_log("browser")] == []


def press(driver: Any, key: str, *, shift: bool = False) -> None:
    """A key, until the page has drawn."""
    from selenium.webdriver import ActionChains

    chain = ActionChains(driver)
    if shift:
        chain.key_down(SHIFT)
    chain.send_keys(KEYS.get(key, key))
    if shift:
        chain.key_up(SHIFT)
    chain.perform()
    driver.execute_async_script("page.turn.last.then(arguments[0])")


def screen(driver: Any) -> np.ndarray:
    """The picture on the page, (h, w, 3)."""
    width, height, pixels = driver.execute_script(
        "const c = page.screen, { width: w, height: h } = c;"
        "return [w, h, Array.from(c.getContext('2d').getImageData(0, 0, w, h).data)]"
    )
    return np.array(pixels).reshape(height, width, 4)[..., :3]


def play_glass(driver: Any, checkpoint: Path, *, presses: int) -> Played:
    """Plays an opened page of GLASS: first with a short memory, then with a long one."""
    model, data = to_play(checkpoint, None, [])
    clip = clips_to_play(model, data, by="identity", most=8)[0]
    controls = GlassControls(actions=model.k)
    session = GlassSession(model.network, (clip.video[0] * 255).round() / 255, memory=controls.memory)
    changes = {Verb.UNDO: session.undo, Verb.RESET: session.reset}
    chosen, played = random.Random(0), Played()
    for number in range(presses):
        key = chosen.choice([*ARROWS, *ARROWS, "1", "2", "3", "+", "-", "b", "u", "m", " "])
        key = {presses // 2: "s", presses // 4: "r"}.get(number, key)
        shift = key in ARROWS and chosen.random() < 0.3
        asked = controls.press(key, shift=shift)
        if isinstance(asked, Move):
            session.play(asked)
        elif asked is Verb.REMEMBER:
            session.remember(controls.memory)
        elif asked in changes:
            changes[asked]()
        press(driver, key, shift=shift)
        wanted, found = to_uint8(session.picture(mask=controls.mask)).astype(int), screen(driver)
        assert driver.execute_script("return page.session.scenes.length") == len(session), (number, key)
        played.off.append(float(np.abs(found - wanted).max()))
        played.seen.add(found.tobytes())
    played.milliseconds = driver.execute_script("return page.times")
    return played


def play_vdsm(driver: Any, checkpoint: Path, *, presses: int) -> Played:
    """Plays an opened page of either stage of VDSM, both sliders anywhere at each key."""
    model, data = to_play(checkpoint, None, [])
    identities, actions = (
        torch.stack([clip.video for clip in clips_to_play(model, data, by=label, most=6)])
        for label in ("identity", "action")
    )
    session = VDSMSession(Board(model, identities=identities, actions=actions))
    chosen, played, second = random.Random(0), Played(), False
    for number in range(presses):
        key = chosen.choice([*ARROWS, *ARROWS, "a", "b", "l"])
        shift = key in ARROWS and chosen.random() < 0.3
        shares = session.share_s, session.share_d = chosen.randrange(21) / 20, chosen.randrange(21) / 20
        for slider, share in zip(driver.find_elements("css selector", "input[type=range]"), shares, strict=True):
            move = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
            driver.execute_script(move, slider, 100 * share)
        if key in ARROWS:
            session.step(ARROWS[key], second=shift or second)
        elif key in "ab":
            second = key == "b"
        elif session.board.longest == LONG:
            session.long = not session.long
        press(driver, key, shift=shift)
        wanted = session.video().flatten(start_dim=1).numpy()
        found = np.array(driver.execute_script("return page.frames.map((frame) => Array.from(frame))"))
        assert found.shape == wanted.shape, (number, key)
        played.off.append(255 * float(np.abs(found - wanted).max()))
        played.seen.add((255 * wanted).round().tobytes())
        played.milliseconds += driver.execute_script("return page.times")
    return played
