"""From a key press to the picture that answers it, in a real browser.

    python -m benchmarks.play [--presses 30 --checkpoint runs/.../last.ckpt]

`vdsm-glass play` serves the compact models, untrained, which are as fast as trained ones; headless Chromium presses
keys and notes, on its own clock, when the key went down and when the picture that came back has been painted (two
frames of the display after it was decoded: up to 33 ms of it are waiting for the display). GLASS answers a press with a
frame, VDSM with a clip of 16. What else runs on the machine lengthens that. `server_cpu_ms` is the processor time that
the program takes for a press, `network_cpu_ms` what of it the network alone takes: neither depends on the neighbours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import common
from tests.vdsm_glass.play.browser import Program, chromium, until
from tests.vdsm_glass.play.small import write_run
from vdsm_glass.api import load
from vdsm_glass.commands.clips import data_of_run
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.play.clips import clips_to_play
from vdsm_glass.play.session_glass import GlassSession, Move
from vdsm_glass.play.session_vdsm import Board, VDSMSession
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

RECIPES = Path(__file__).parents[1] / "experiments"
CPU = torch.device("cpu")
GOAL_MS = 100
WARMUP = 3
WATCH = """
window.times = [];
addEventListener("keydown", () => { window.pressed = performance.now() }, true);
const screen = document.querySelector(".screen");
const painted = () => requestAnimationFrame(() => requestAnimationFrame(
  () => window.times.push(performance.now() - window.pressed)));
if (screen.tagName === "IMG") screen.addEventListener("load", painted);
else new MutationObserver(painted).observe(screen, {attributes: true, attributeFilter: ["style", "aria-label"]});
"""


def glass_run(folder: Path) -> Path:
    """A run of GLASS as narrow as the compact recipe's."""
    given = yaml.safe_load((RECIPES / "glass/w_sprites/joint.yaml").read_text("utf-8"))["model"]["init_args"]
    gma, lma = GMASizes(**given["gma"]), LMASizes(**given["lma"])
    parameters = {"gma": asdict(gma), "lma": asdict(lma), "theta": 0.06, "shifts_from_inpainted": False}
    data = {"class_path": "data_modules.WSprites", "init_args": {"size": [96, 128], "eval_clip_length": 6}}
    return write_run(folder, GLASS(gma=gma, lma=lma, theta=0.06), parameters, data)


def vdsm_run(folder: Path) -> Path:
    """A run of VDSM's second stage as narrow as the demo's."""
    recipe = yaml.safe_load((RECIPES / "vdsm/parts/compact_pendulum.yaml").read_text("utf-8"))
    sizes = Sizes(**recipe["model"]["init_args"]["sizes"])
    data = {"class_path": "data_modules.Pendulum", "init_args": {"size": 32, "eval_clip_length": 16}}
    return write_run(folder, SequenceVDSM(sizes), {"sizes": asdict(sizes)}, data)


def network_cpu_ms(checkpoint: Path, presses: int) -> tuple[str, float]:
    """The model's name, and the median milliseconds of processor time that its network takes for one press."""
    torch.set_num_threads(1)
    model = load(checkpoint)
    people = clips_to_play(model, data_of_run(checkpoint.parent.parent), by="identity", most=2)
    if "animate" in model.can:
        session = GlassSession(model.network, people[0].video[0])

        def press() -> torch.Tensor:
            session.play(Move(foreground=(7.0, 0.0), action=1))
            return session.picture()
    else:
        clips = torch.stack([clip.video for clip in people])
        press = VDSMSession(Board(model, identities=clips, actions=clips)).video  # pyright: ignore[reportArgumentType]
    return type(model.network).__name__, 1000 * common.median_timings({"press": press}, device=CPU, repeats=presses)[
        "press"
    ].cpu


def cpu_seconds(process: int) -> float:
    """The processor time that a process has used."""
    fields = (common.PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(checkpoint: Path, folder: Path, presses: int) -> dict[str, Any]:
    """One row of the results."""
    name, network = network_cpu_ms(checkpoint, presses)
    program = Program(checkpoint, folder / "tmp")
    before = 0.0
    try:
        with chromium(folder / "profile") as driver:
            from selenium.webdriver import ActionChains, Keys

            driver.get(program.opened())
            until(lambda: "frame" in driver.execute_script("return document.body.innerText"), "the page")
            driver.execute_script(WATCH)
            for count in range(presses + WARMUP):
                if count == WARMUP:
                    before = cpu_seconds(program.process.pid)
                arrow = (Keys.ARROW_RIGHT, Keys.ARROW_LEFT)[count % 2]
                # The background's shift is sure to be seen, also where nothing was learned of the foreground.
                keys = ActionChains(driver).key_down(Keys.SHIFT) if name == "GLASS" else ActionChains(driver)
                keys.send_keys(arrow).key_up(Keys.SHIFT).perform()
                until(lambda count=count: driver.execute_script("return window.times.length") > count, "a picture")
            times = driver.execute_script("return window.times")[WARMUP:]
            spent = cpu_seconds(program.process.pid) - before
    finally:
        program.end()
    median, ninth = statistics.median(times), statistics.quantiles(times, n=10)[-1]
    return {
        "model": name,
        "key_to_picture_ms": round(median, 1),
        "ninth_decile_ms": round(ninth, 1),
        "server_cpu_ms": round(1000 * spent / presses, 1),
        "network_cpu_ms": round(network, 1),
        "goal_ms": GOAL_MS,
    }


def main() -> None:
    """Measures both models, or the one of a checkpoint, and writes what was found."""
    parser = argparse.ArgumentParser(description="From a key press to the picture that answers it.")
    parser.add_argument("--presses", type=int, default=30)
    parser.add_argument("--checkpoint", type=Path, help="another model, in its run's folder")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [options.checkpoint] if options.checkpoint else [glass_run(folder / "glass"), vdsm_run(folder / "vdsm")]
        for number, checkpoint in enumerate(runs):
            place = folder / str(number)
            place.mkdir()
            results.append(measure(checkpoint, place, options.presses))
            print(results[-1])
    settings = {"presses": options.presses, "warmup": WARMUP, "browser": "headless Chromium, 1280 x 1000"}
    common.write_results(common.RESULTS / "play-cpu.json", device=CPU, settings=settings, results=results)


if __name__ == "__main__":
    main()
