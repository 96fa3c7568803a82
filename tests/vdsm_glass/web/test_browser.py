"""Pages without a server of their own, in a real browser without network: they draw what PyTorch draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.vdsm_glass.glass.small import NARROW, small_sizes
from tests.vdsm_glass.glass.small import small_glass as any_glass
from tests.vdsm_glass.play.browser import chromium, until
from tests.vdsm_glass.play.small import (
    GLASS_DATA,
    SIZES,
    VDSM_DATA,
    glass_checkpoint,
    small_vdsm,
    vdsm_checkpoint,
    write_run,
)
from tests.vdsm_glass.web.played import READY, opened, play_glass, play_vdsm, press, screen
from vdsm_glass.cli import main
from vdsm_glass.commands.play import to_play
from vdsm_glass.pictures import to_uint8
from vdsm_glass.play.clips import clips_to_play
from vdsm_glass.play.session_glass import room
from vdsm_glass.web import runtime

pytestmark = pytest.mark.thorough

PRESSES = 40
MEGABYTES = 20


def windowed_checkpoint(folder: Path) -> Path:
    """A run of GLASS that draws changes in windows."""
    changes: dict[str, Any] = {"window": 32, "drawing": "change"}
    given = {"gma": asdict(NARROW), "lma": asdict(small_sizes(**changes)), "theta": 0.3, "shifts_from_inpainted": False}
    return write_run(folder, any_glass(theta=0.3, **changes), given, GLASS_DATA)


@torch.no_grad()
def lively_checkpoint(folder: Path, *, stage: int = 2) -> Path:
    """A run of either stage of VDSM that tells its clips apart, and whose pictures show it."""
    model, data = to_play(vdsm_checkpoint(folder / "dull"), None, [])
    video, net = torch.stack([clip.video for clip in clips_to_play(model, data, by="action", most=6)]), small_vdsm()
    for head, find in (
        (net.frames.encoder.identity_loc, lambda: net.encode(video).s),
        (net.frames.encoder.pose, lambda: net.frames.encode(video).z),
        (net.dynamics_encoder.head, lambda: net.encode(video).d),
    ):
        found = find().flatten(end_dim=-2)
        size, middle = found.shape[-1], found.mean(dim=0)
        scale = 1 / (found - middle).std()
        head.weight[:size] *= scale
        head.bias[:size] = scale * (head.bias[:size] - middle)
    for layer in net.frames.decoder.layers:
        layer.weight.normal_(std=layer.weight.shape[-1] ** -0.5)
    for parameter in (*net.dynamics_decoder.parameters(), *net.combiner.parameters()):
        parameter.mul_(3)
    return write_run(folder, net if stage == 2 else net.frames, {"sizes": asdict(SIZES)}, VDSM_DATA)


CHECKPOINTS = {
    "glass": glass_checkpoint,
    "windows": windowed_checkpoint,
    "vdsm": lively_checkpoint,
    "vdsm_frames": lambda folder: lively_checkpoint(folder, stage=1),
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


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_it_draws_what_pytorch_draws_at_every_key(kind: str, exported: Any, driver: Any):
    checkpoint, folder = exported[kind]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < MEGABYTES * 1e6
    glass = not kind.startswith("vdsm")
    with opened(driver, folder, says=READY["glass" if glass else "vdsm"]):
        played = (play_glass if glass else play_vdsm)(driver, checkpoint, presses=PRESSES)
    assert max(played.off) <= 1, played.off
    assert len(played.seen) > PRESSES / 3


def test_glass_copies_actions_and_takes_a_picture(exported: Any, driver: Any, tmp_path: Path):
    checkpoint, folder = exported["windows"]
    model, data = to_play(checkpoint, None, [])
    clip = clips_to_play(model, data, by="identity", most=8)[1]
    Image.new("RGB", (96, 200), (10, 200, 30)).save(tmp_path / "green.png")
    with opened(driver, folder, says=READY["glass"]):
        driver.find_elements("css selector", "button.picture")[1].click()
        press(driver, "2")  # which the copy takes back
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


def test_figures_get_the_room_that_they_get_in_play(exported: Any, driver: Any):
    generator, places = torch.Generator().manual_seed(0), set()
    with opened(driver, exported["glass"][1], says=READY["glass"]):
        for _ in range(40):
            mask = torch.zeros(32, 48)
            top, left = (int(torch.randint(0, side, (), generator=generator)) for side in (28, 40))
            mask[top : top + 20, left : left + 12] = 0.6
            shifts = torch.randint(-16, 17, (3, 2), generator=generator)
            asked = "page.session.mask = arguments[0]; return page.session.room(arguments[1])"
            found = driver.execute_script(asked, mask.flatten().tolist(), shifts.tolist())
            assert found == room(mask, shifts.float()).tolist(), (top, left, shifts)
            places.add(tuple(found))
    assert len(places) > 15


def test_a_cell_of_the_board_is_chosen_by_a_click(exported: Any, driver: Any):
    with opened(driver, exported["vdsm"][1], says=READY["vdsm"]):
        cells = driver.find_elements("css selector", ".board button")
        cells[1].click()
        press(driver, "b")
        cells[2].click()
        assert [cells[1].get_attribute("aria-pressed"), cells[2].get_attribute("class")] == ["true", "second"]
        assert driver.execute_script("return [page.session.a, page.session.b].map((at) => at.column)") == [1, 2]


def test_a_page_fits_a_phone_and_says_what_to_do_with_a_file(exported: Any, driver: Any):
    driver.set_window_size(500, 900)  # the narrowest that this browser takes
    for kind, says in READY.items():
        with opened(driver, exported[kind][1], says=says):
            wide, shown = driver.execute_script(
                "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
            )
            assert wide == shown
        driver.get(f"file://{exported[kind][1]}/index.html")
        assert "python -m http.server" in driver.find_element("tag name", "main").text
        driver.get_log("browser")
