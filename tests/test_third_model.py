"""A model that only `tests/third_model` knows of does all that the two of this program do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vdsm_glass.play.browser import Program, chromium
from vdsm_glass.api import load, save
from vdsm_glass.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a person does whose model is not installed."""
    patch = pytest.MonkeyPatch()
    patch.setenv("VDSM_GLASS_MODELS", "tests.third_model")
    yield  # pyright: ignore[reportReturnType]
    patch.undo()


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The recipe, on tiny data, in a folder of its own."""
    folder = tmp_path_factory.mktemp("third")
    configs = [ROOT / "tests/third_model/recipe.yaml", ROOT / "experiments/smoke/run.yaml"]
    return [*(f"--config={file}" for file in configs), f"--run.dir={folder}/runs", f"--data.root={folder}/data"]


@pytest.fixture(scope="module")
def checkpoint(options: list[str]) -> Path:
    """Trained for one epoch, then resumed for another."""
    assert main(["fit", *options]) == 0
    folder = Path(options[2].partition("=")[2]) / "recipe" / "latest"
    before = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert main(["fit", *options, "--ckpt_path=last", "--trainer.max_epochs=2"]) == 0
    after = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert (before["global_step"], after["global_step"]) == (2, 4)
    start, middle, end = (0.5, *(float(each["state_dict"]["net.gain"].mean()) for each in (before, after)))
    assert start < middle < end
    return folder / "checkpoints/last.ckpt"


def test_it_is_tested_under_its_own_protocols(options: list[str], checkpoint: Path):
    asked = ["--evaluation.metrics=[mse,psnr]", "--evaluation.protocols=[reconstruction,transfer]"]
    assert main(["test", *options, *asked, f"--ckpt_path={checkpoint}"]) == 0
    results = json.loads((checkpoint.parents[1] / "test/latest/results.json").read_text(encoding="utf-8"))
    assert "reconstruction/mse" in json.dumps(results)
    assert (checkpoint.parents[1] / "test/latest/pictures/evaluation_transfer.gif").is_file()


def test_it_generates_exports_loads_and_is_scored(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = load(checkpoint, device="cpu")
    video = torch.rand(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.transfer(video, video), model.reconstruct(video))
    assert main(["generate", "transfer", str(checkpoint), "--out", str(tmp_path / "made.gif")]) == 0
    assert main(["generate", "swap", str(checkpoint), "--out", str(tmp_path / "swapped.gif")]) == 2
    assert "Mean frame cannot do 'swap'; it can do reconstruct, transfer" in capsys.readouterr().err
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/config.json").read_text(encoding="utf-8"))["kind"] == "mean_frame"
    assert "takes a clip apart into its mean frame" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    torch.testing.assert_close(load(tmp_path / "out", device="cpu").reconstruct(video), model.reconstruct(video))
    for name, clips in (("real", video), ("made", model.reconstruct(video))):
        for number, clip in enumerate(clips):
            save(clip, tmp_path / name / f"{number}.gif")
    asked = ["--metrics", "mse", "psnr", "--out", str(tmp_path / "scores")]
    assert main(["score", str(tmp_path / "real"), str(tmp_path / "made"), *asked]) == 0
    assert (tmp_path / "scores/results.json").is_file()


def test_every_verb_of_the_page_without_a_page_of_its_own_shows_a_clip(checkpoint: Path):
    from vdsm_glass.commands.play import add_page
    from vdsm_glass.play.page_clips import VERBS

    add_page(checkpoint, None, [])
    model, clips = load(checkpoint, device="cpu"), np.zeros((2, 4, 16, 16, 3), np.uint8)
    for verb in model.can:
        assert VERBS[verb](model, model.read(clips[0]), model.read(clips[1])).shape == (4, 3, 16, 16)


def test_it_is_played_in_a_browser(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the page's process starts in another folder
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium(tmp_path / "profile") as driver:
        program = Program(checkpoint, tmp_path / "tmp")
        try:
            driver.get(program.opened())
            wait = WebDriverWait(driver, 60)
            wait.until(lambda _: "reconstruct: 6 frames" in driver.page_source)
            driver.find_element(By.TAG_NAME, "body").send_keys("2")
            wait.until(lambda _: "transfer: 6 frames" in driver.page_source)
            driver.find_element(By.CSS_SELECTOR, "[aria-label$=' as B']").click()
            assert driver.get_screenshot_as_file(str(tmp_path / "page.png"))
        finally:
            program.end()
