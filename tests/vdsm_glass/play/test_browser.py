"""The pages in a real browser, by keyboard, by click and by touch."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageSequence

from tests.vdsm_glass.play.browser import Program, chromium, hosts_asked, until
from tests.vdsm_glass.play.small import glass_checkpoint, vdsm_checkpoint
from vdsm_glass.box.place import names
from vdsm_glass.pictures import write_mp4
from vdsm_glass.play import media

pytestmark = pytest.mark.thorough

ARROW_LEFT, ARROW_RIGHT, ARROW_DOWN, SHIFT, SPACE, BACKSPACE, TAB, END = (
    "\ue012",
    "\ue014",
    "\ue015",
    "\ue008",
    " ",
    "\ue003",
    "\ue004",
    "\ue010",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    """One of each model, started side by side."""
    folder = tmp_path_factory.mktemp("programs")
    started = {
        "glass": Program(glass_checkpoint(folder / "glass"), folder / "tmp_glass"),
        "vdsm": Program(vdsm_checkpoint(folder / "vdsm"), folder / "tmp_vdsm"),
    }
    try:
        yield started
    finally:
        for program in started.values():
            program.end()


class Page:
    """What a person does and sees on a page."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        driver.get(address)
        until(lambda: self.find(".screen") and self.says("frame"), "the page")

    def find(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def says(self, text: str) -> bool:
        return text in self.driver.execute_script("return document.body.innerText")

    def press(self, *keys: str, says: str = "") -> None:
        """Keys, together."""
        from selenium.webdriver import ActionChains

        chain = ActionChains(self.driver)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()
        if says:
            until(lambda: self.says(says), f"{says!r} after {keys}")

    def click(self, text: str, *, says: str) -> None:
        """The first button that has `text` in it or as its label."""
        path = f"//button[contains(., '{text}') or @aria-label='{text}']"
        self.driver.find_element("xpath", path).click()
        until(lambda: self.says(says), f"{says!r} after a click on {text}")

    def picture(self) -> str:
        return self.find(".screen")[0].get_attribute("src")

    def upload(self, number: int, path: Path) -> None:
        self.find("input[type=file]")[number].send_keys(str(path))

    def problems(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def glass(driver: Any, programs: dict[str, Program]) -> Page:
    return Page(driver, programs["glass"].opened())


@pytest.fixture
def vdsm(driver: Any, programs: dict[str, Program]) -> Page:
    return Page(driver, programs["vdsm"].opened())


def test_every_key_is_a_frame(glass: Page):
    first = glass.picture()
    glass.press(ARROW_RIGHT, says="frame 2 of 2")
    assert glass.picture() != first
    glass.press("2", says="frame 3 of 3")
    glass.press(SHIFT, ARROW_DOWN, says="frame 4 of 4")
    assert glass.says("→1 ·2 ·[↓]2")
    assert glass.driver.execute_script("return scrollY") == 0
    drawn = glass.picture()
    glass.press("m")
    until(lambda: glass.picture() != drawn, "the mask")
    glass.press("m")
    until(lambda: glass.picture() == drawn, "the picture without it")
    glass.press(BACKSPACE, says="frame 3 of 3")
    glass.press("r", says="frame 1 of 1")
    assert glass.picture() == first
    assert not glass.problems()


def test_buttons_stand_for_keys_and_a_key_on_a_button_presses_it_once(glass: Page):
    glass.click("move right", says="frame 2 of 2")
    glass.click("local action 3", says="frame 3 of 3")
    assert glass.says("→1 ·3")
    glass.click("larger steps", says="8 px")
    glass.click("Background", says="Move the background")
    glass.click("move left", says="·[←]3")
    undo = glass.driver.find_element("xpath", "//button[contains(., 'Undo')]")
    glass.driver.execute_script("arguments[0].focus()", undo)
    glass.press(SPACE, says="frame 3 of 3")
    glass.press("p")
    glass.press("\ue00c")
    assert glass.says("of 3")


def test_without_the_short_memory_the_same_moves_draw_another_picture(glass: Page):
    for count in range(2, 7):
        glass.press("2", says=f"frame {count} of {count}")
    short = glass.picture()
    glass.press("s")
    until(lambda: glass.picture() != short, "the picture drawn with a long memory")
    assert glass.says("frame 6 of 6")
    glass.press("s")
    until(lambda: glass.picture() == short, "the picture as before")
    glass.press(ARROW_RIGHT, "u", SPACE, says="·2 ·2 ·2 ·2 ·2 ·2")
    assert glass.says("frame 7 of 7")
    assert not glass.problems()


def test_everything_can_be_reached_by_tab_and_has_a_name(glass: Page):
    reached = set()
    total = len(glass.find("button:not([disabled]), input[type=range]"))
    glass.driver.execute_script("document.activeElement.blur()")
    for _ in range(total + 5):
        glass.press(TAB)
        reached.add(glass.driver.execute_script("return document.activeElement.outerHTML"))
    assert len([element for element in reached if element.startswith("<button")]) == total
    tree = glass.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names = [node["name"]["value"] for node in tree if node.get("role", {}).get("value") == "button"]
    assert len(names) >= total
    assert all(names)


def test_tabs_do_not_know_of_each_other(glass: Page):
    one, address = glass.driver.current_window_handle, glass.driver.current_url
    glass.press(ARROW_RIGHT, says="frame 2 of 2")
    glass.driver.switch_to.new_window("tab")
    try:
        other = Page(glass.driver, address)
        assert other.says("frame 1 of 1")
        other.press(SPACE, says="frame 2 of 2")
        other.press(SPACE, says="frame 3 of 3")
        other.driver.close()
    finally:
        glass.driver.switch_to.window(one)
    glass.press(SPACE, says="frame 3 of 3")
    assert glass.says("→1 ·1")


def test_uploads_start_a_clip_give_actions_or_a_named_error(glass: Page, tmp_path: Path):
    (tmp_path / "red.png").write_bytes(media.png(torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 40, 60)))
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "cut.mp4").write_bytes(b"not a film")
    write_mp4(torch.rand(5, 3, 32, 48), tmp_path / "film.mp4")
    before = glass.picture()
    glass.upload(0, tmp_path / "cut.png")
    until(lambda: glass.says("cut.png: cannot be read as a JPG or PNG picture"), "the error")
    assert glass.picture() == before
    glass.upload(0, tmp_path / "red.png")
    until(lambda: glass.picture() != before, "the red picture")
    assert not glass.says("cannot be read")
    glass.upload(1, tmp_path / "film.mp4")
    until(lambda: glass.says("frame 5 of 5"), "the copied actions")
    glass.upload(1, tmp_path / "cut.mp4")
    until(lambda: glass.says("cut.mp4: "), "the error")
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(media.MOST_BYTES + 1)
    glass.upload(0, tmp_path / "big.png")
    until(lambda: glass.says("at most 20 MB"), "the size's error")
    assert not glass.problems()


def test_upload_buttons_ask_for_a_file(glass: Page):
    glass.driver.execute_script("HTMLInputElement.prototype.click = function () { window.asked = this.accept }")
    for text, kind in (("Start from your picture", "image/png"), ("Copy actions from your video", "video/")):
        glass.driver.find_element("xpath", f"//button[contains(., '{text}')]").click()
        until(
            lambda kind=kind: kind in (glass.driver.execute_script("return window.asked") or ""), f"a file for {text}"
        )
    assert not glass.problems()


def test_actions_are_copied_and_the_clip_is_saved(glass: Page, tmp_path: Path):
    glass.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    glass.click("Copy actions", says="frame 6 of 6")
    glass.click("Save GIF", says="frame 6 of 6")
    until((tmp_path / "clip.gif").exists, "the GIF")
    saved = Image.open(io.BytesIO((tmp_path / "clip.gif").read_bytes()))
    assert len(list(ImageSequence.Iterator(saved))) == 6
    glass.click("Save MP4", says="frame 6 of 6")
    until((tmp_path / "clip.mp4").exists, "the MP4")
    assert len(media.read_upload((tmp_path / "clip.mp4").read_bytes(), "clip.mp4", height=32, width=48)) == 6


def test_the_board_is_walked_over_and_sliders_mix(vdsm: Page):
    def film() -> str:
        return vdsm.find(".screen")[0].value_of_css_property("background-image")

    chosen = "return document.querySelector('.board [aria-pressed=true]').ariaLabel"
    first, name = film(), vdsm.driver.execute_script(chosen)
    vdsm.press(ARROW_DOWN)
    until(lambda: film() != first, "another clip")
    assert vdsm.driver.execute_script(chosen) != name
    vdsm.find(".board button")[0].click()
    until(lambda: film() == first, "the first clip again")
    slider = vdsm.find("input[type=range]")[0]
    vdsm.driver.execute_script("arguments[0].focus()", slider)
    vdsm.press(END)
    until(lambda: film() != first, "the other identity")
    assert slider.get_property("value") == "100"  # not where it was before the page changed
    vdsm.press(ARROW_LEFT)
    assert slider.get_property("value") == "95"
    assert vdsm.driver.execute_script(chosen) == name
    vdsm.driver.execute_script("document.activeElement.blur()")
    vdsm.press("l", says="60 frames ·")
    assert not vdsm.problems()


@pytest.mark.parametrize("kind", ["glass", "vdsm"])
def test_on_a_phone_nothing_is_cut_off(driver: Any, programs: dict[str, Program], kind: str):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = Page(driver, programs[kind].opened())
        assert driver.execute_script("return document.documentElement.scrollWidth") == 360
        beyond = (
            "return [...document.querySelectorAll('main button, main input, main img')].map(e => "
            "e.getBoundingClientRect()).filter(r => r.width && (r.left < 0 || r.right > 360)).length"
        )
        assert driver.execute_script(beyond) == 0
        if kind == "glass":
            page.click("move right", says="frame 2 of 2")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_asked_of_another_machine(driver: Any, programs: dict[str, Program]):
    for program in programs.values():
        hosts_asked(driver)
        Page(driver, program.opened())
        assert hosts_asked(driver) == {"127.0.0.1"}


def test_ctrl_c_ends_cleanly_and_leaves_no_file(driver: Any, programs: dict[str, Program]):
    driver.get("about:blank")
    for program, sent, code in zip(programs.values(), (signal.SIGINT, signal.SIGTERM), (130, 143), strict=True):
        program.opened()
        assert program.stop(sent) == code
        assert program.said.count("\n") == 1, program.said
        assert not [path for path in program.temporary.iterdir() if "vdsm-glass" in path.name]
        assert not (program.temporary.parent / ".nicegui").exists()


def test_the_models_of_the_box_are_chosen_on_the_page(driver: Any, tmp_path: Path):
    program = Program(None, tmp_path / "tmp")
    try:
        page = Page(driver, program.opened())
        assert [link.text for link in page.find("nav a")] == names()
        drawn = "return [...document.images].every((each) => !each.src || (each.complete && each.naturalWidth))"
        for name in names():
            driver.find_element("link text", name).click()
            until(lambda name=name: [a.text for a in page.find("nav a[aria-current]")] == [name], name)
            until(lambda: page.find(".screen") and page.says("frame"), f"{name}'s page")
            until(lambda: driver.execute_script(drawn), f"{name}'s pictures")
            if page.find("main.glass"):
                page.press(ARROW_RIGHT, says="frame 2 of 2")
        assert page.problems() == []
        assert hosts_asked(driver) <= {"127.0.0.1"}
    finally:
        program.end()
