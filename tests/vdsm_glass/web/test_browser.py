"""Pages without a server of their own, in a real browser without network: they draw what PyTorch draws."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import kill_all_of
from tests.vdsm_glass.glass.small import NARROW, small_sizes
from tests.vdsm_glass.glass.small import small_glass as any_glass
from tests.vdsm_glass.play.browser import chromium, hosts_asked, until
from tests.vdsm_glass.play.small import GLASS_DATA, glass_checkpoint, vdsm_checkpoint, write_run
from vdsm_glass.cli import main
from vdsm_glass.commands.play import to_play
from vdsm_glass.pictures import to_uint8
from vdsm_glass.play.clips import clips_to_play
from vdsm_glass.play.controls import ARROWS, GlassControls, Verb
from vdsm_glass.play.session_glass import GlassSession, Move
from vdsm_glass.play.session_vdsm import LONG, Board, VDSMSession
from vdsm_glass.web import runtime

pytestmark = pytest.mark.thorough

PRESSES = 40
KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015"}
SHIFT, MEGABYTES = "\ue008", 20


def windowed_checkpoint(folder: Path) -> Path:
    """A run of GLASS that draws changes in windows."""
    changes: dict[str, Any] = {"window": 32, "drawing": "change"}
    given = {"gma": asdict(NARROW), "lma": asdict(small_sizes(**changes)), "theta": 0.3, "shifts_from_inpainted": False}
    return write_run(folder, any_glass(theta=0.3, **changes), given, GLASS_DATA)


CHECKPOINTS = {
    "glass": glass_checkpoint,
    "windows": windowed_checkpoint,
    "vdsm": vdsm_checkpoint,
    "vdsm_frames": lambda folder: vdsm_checkpoint(folder, stage=1),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """By kind, the checkpoint and the folder of its page."""
    if not any(map(runtime.complete, runtime.places())):
        pytest.skip("no ONNX Runtime Web: python -c 'from vdsm_glass.web.runtime import fetched; fetched()'")
    made = {}
    for kind, checkpoint in CHECKPOINTS.items():
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = (checkpoint(folder / "run"), folder / "page")
        assert main(["export", str(made[kind][0]), "--web", str(folder / "page")]) == 0
    return made


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


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


@pytest.mark.parametrize("kind", ["glass", "windows"])
def test_glass_draws_what_pytorch_draws_at_every_key(kind: str, exported: Any, driver: Any):
    checkpoint, folder = exported[kind]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < MEGABYTES * 1e6
    model, data = to_play(checkpoint, None, [])
    clip = clips_to_play(model, data, by="identity", most=8)[0]
    first = (clip.video[0] * 255).round() / 255
    controls = GlassControls(actions=model.k)
    session = GlassSession(model.network, first, memory=controls.memory)
    changes = {Verb.UNDO: session.undo, Verb.RESET: session.reset}
    chosen, seen = random.Random(0), set()
    with opened(driver, folder, says="frame 1 of 1"):
        for number in range(PRESSES):
            key = chosen.choice([*ARROWS, *ARROWS, "1", "2", "3", "+", "-", "b", "u", "m", " "])
            key = {PRESSES // 2: "s", PRESSES // 4: "r"}.get(number, key)
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
            assert np.abs(found - wanted).max() <= 1, (number, key, shift)
            assert driver.execute_script("return page.session.scenes.length") == len(session)
            seen.add(found.tobytes())
    assert len(seen) > PRESSES / 3


def test_glass_copies_actions_and_takes_a_picture(exported: Any, driver: Any, tmp_path: Path):
    checkpoint, folder = exported["windows"]
    model, data = to_play(checkpoint, None, [])
    clip = clips_to_play(model, data, by="identity", most=8)[1]
    Image.new("RGB", (96, 200), (10, 200, 30)).save(tmp_path / "green.png")
    with opened(driver, folder, says="frame 1 of 1"):
        driver.find_elements("css selector", "button.picture")[1].click()
        driver.find_elements("xpath", "//button[contains(., 'Copy actions')]")[1].click()
        frames = len(clip.video)
        until(lambda: f"frame {frames} of {frames}" in driver.find_element("tag name", "main").text, "the copy")
        first = (clip.video[0] * 255).round() / 255
        wanted = model.animate(first[None], model.actions(clip.video))
        # Played from the first frame each time, which pages do, it is another clip: only without is it `animate`.
        press(driver, "s")
        assert np.abs(screen(driver) - to_uint8(wanted[-1]).astype(int)).max() <= 1
        driver.find_element("css selector", "input[type=file]").send_keys(str(tmp_path / "green.png"))
        until(lambda: "frame 1 of 1" in driver.find_element("tag name", "main").text, "the picture")
        assert (screen(driver) == (10, 200, 30)).all()


@pytest.mark.parametrize("kind", ["vdsm", "vdsm_frames"])
def test_vdsm_draws_what_pytorch_draws_at_every_key(kind: str, exported: Any, driver: Any):
    checkpoint, folder = exported[kind]
    model, data = to_play(checkpoint, None, [])
    rows, columns = (clips_to_play(model, data, by=label, most=6) for label in ("identity", "action"))
    stacked = [torch.stack([clip.video for clip in clips]) for clips in (rows, columns)]
    session = VDSMSession(Board(model, identities=stacked[0], actions=stacked[1]))
    chosen, second, seen = random.Random(0), False, set()
    with opened(driver, folder, says="ms each"):
        for number in range(PRESSES):
            key = chosen.choice([*ARROWS, *ARROWS, "a", "b", "l"])
            shift = key in ARROWS and chosen.random() < 0.3
            session.share_s, session.share_d = chosen.randrange(21) / 20, chosen.randrange(21) / 20
            for slider, share in zip(
                driver.find_elements("css selector", "input[type=range]"),
                (session.share_s, session.share_d),
                strict=True,
            ):
                driver.execute_script(
                    "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
                    slider,
                    100 * share,
                )
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
            assert np.abs(found - wanted).max() < 1 / 255, (number, key, shift)
            seen.add(wanted.tobytes())
        cells = driver.find_elements("css selector", ".board button")
        assert len(cells) == len(rows) * len(columns)
        cells[1].click()
        assert cells[1].get_attribute("aria-pressed" if not second else "class") == ("second" if second else "true")
    assert len(seen) > PRESSES / 2


def test_a_page_fits_a_phone_and_says_what_to_do_with_a_file(exported: Any, driver: Any):
    driver.set_window_size(500, 900)  # the narrowest that this browser takes
    for kind, says in (("glass", "frame 1 of 1"), ("vdsm", "ms each")):
        with opened(driver, exported[kind][1], says=says):
            wide, shown = driver.execute_script(
                "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
            )
            assert wide == shown
        driver.get(f"file://{exported[kind][1]}/index.html")
        assert "python -m http.server" in driver.find_element("tag name", "main").text
        driver.get_log("browser")
