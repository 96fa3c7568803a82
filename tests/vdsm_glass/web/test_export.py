"""What keeps a page from being written is one error that says what to do, and nothing is left of the page."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data_modules.common.download import OFFLINE
from data_modules.common.errors import UserError
from tests.third_model.model import MeanFrameModel
from tests.third_model.network import MeanFrame
from tests.vdsm_glass.discrete.small import MODELS
from tests.vdsm_glass.dsvae.test_network import NARROW
from tests.vdsm_glass.play.small import VDSM_DATA, small_vdsm, write_run
from vdsm_glass.cli import main
from vdsm_glass.dsvae.model import DSVAEModel
from vdsm_glass.dsvae.network import DSVAE
from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.trivial.models import FirstFrameModel
from vdsm_glass.trivial.modules import FirstFrameModule
from vdsm_glass.web import graphs, runtime
from vdsm_glass.web.export import export_web
from vdsm_glass.web.page import Graph
from vdsm_glass.web.vdsm import Decode, used

WITHOUT: dict[str, Callable[[], Model]] = {
    "Mean frame": lambda: MeanFrameModel(MeanFrame(start=0.0)),
    "DSVAE": lambda: DSVAEModel(DSVAE(Sizes(**NARROW))),
    "CADDY": MODELS["caddy"],
    "Latent actions": MODELS["latent_actions"],
    "First frame": lambda: FirstFrameModel(torch.nn.Identity()),
}


@pytest.mark.parametrize("title", WITHOUT)
def test_a_model_without_such_a_page_says_which_have_one(title: str, tmp_path: Path):
    with pytest.raises(UserError) as error:
        export_web(WITHOUT[title](), None, tmp_path / "page")
    said = str(error.value)
    assert said.startswith(f"{title} has no page for the browser alone; GLASS, VDSM, VDSM's first stage have one, ")
    assert "whose class sets `web`" in said
    assert not list(tmp_path.iterdir())


def test_the_command_says_so_before_it_prepares_any_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    checkpoint = write_run(tmp_path / "run", FirstFrameModule().net, {"kind": "first_frame"}, VDSM_DATA)
    assert main(["export", str(checkpoint), "--web", str(tmp_path / "page")]) == 2
    assert "First frame has no page for the browser alone" in capsys.readouterr().err
    assert not (tmp_path / "run" / "data").exists()
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give either DIR or --web DIR"),
        (["a", "--web", "b"], "give either DIR or --web DIR"),
        (["a", "--data", "pendulum"], "--data goes with --web"),
        (["a", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_the_command_says_what_it_cannot_combine(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["export", "last.ckpt", *words])
    assert said in capsys.readouterr().err


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; there is no runtime anywhere, and this is not a machine that may download nothing."""
    monkeypatch.setenv("VDSM_GLASS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(OFFLINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Makes a shell script the only npm that is found."""
    (folder / "bin").mkdir()
    (folder / "bin" / "npm").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")


def test_without_npm_it_says_how_to_get_it(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(nowhere))
    with pytest.raises(UserError, match=r"npm, which would get it, is not installed: apt-get install npm"):
        runtime.add_to(nowhere / "ort")


def test_what_npm_says_is_passed_on(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    npm(nowhere, monkeypatch, "echo getaddrinfo EAI_AGAIN registry.npmjs.org >&2; exit 1")
    with pytest.raises(UserError, match=r"npm did not get .*EAI_AGAIN registry.npmjs.org\. Where a registry can"):
        runtime.add_to(nowhere / "ort")
    assert not runtime.cached().exists()


def test_nothing_is_downloaded_where_that_is_forbidden(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(OFFLINE, "1")
    npm(nowhere, monkeypatch, "touch called; exit 1")
    with pytest.raises(UserError, match=f"{OFFLINE} is set"):
        runtime.add_to(nowhere / "ort")


def test_npm_is_asked_once_and_only_for_what_was_tested(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    for name in runtime.FILES:
        file = nowhere / "package" / "dist" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    with tarfile.open(nowhere / "made.tgz", "w:gz") as packed:
        packed.add(nowhere / "package", "package")
    shutil.rmtree(nowhere / "package")
    said = json.dumps([{"filename": "made.tgz"}])
    npm(nowhere, monkeypatch, f"cp {nowhere}/made.tgz . && echo '{said}' && echo x >> {nowhere}/calls")
    with pytest.raises(UserError, match="SHA-256 differs"):
        runtime.add_to(nowhere / "ort")
    for name in runtime.FILES:
        monkeypatch.setitem(runtime.FILES, name, hashlib.sha256(name.encode()).hexdigest())
    for number in (1, 2):
        runtime.add_to(nowhere / f"ort{number}")
        assert (nowhere / f"ort{number}" / "ort.js").read_text() == runtime.SCRIPT
    assert (nowhere / "calls").read_text() == "x\nx\n"


def test_a_graph_that_computes_something_else_is_refused(tmp_path: Path):
    class Fickle(torch.nn.Module):
        """It adds a number to the input, and another one while it is exported."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + (1.0 if torch.compiler.is_exporting() else 0.0)

    with pytest.raises(UserError, match=r"fickle.onnx: its y differs from PyTorch's by 1"):
        graphs.write(Graph(Fickle(), {"x": torch.zeros(2)}, ("y",)), tmp_path / "fickle.onnx")


def test_a_graph_names_no_file_of_the_machine_that_wrote_it(tmp_path: Path):
    graphs.write(Graph(torch.nn.Linear(2, 3), {"input": torch.zeros(1, 2)}, ("y",)), tmp_path / "a.onnx")
    content = (tmp_path / "a.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path.cwd()).encode() not in content


def test_experts_that_no_slider_asks_for_are_left_out_and_nothing_changes():
    net = small_vdsm().frames
    s = torch.tensor([[0.0, 1.0, -9.0, -9.0], [1.0, 0.0, -9.0, -9.0], [-9.0, 0.0, 1.0, -9.0]])
    assert used(net, s).tolist() == [0, 1, 2]
    z, between = torch.randn(1, 3), torch.lerp(s[:1], s[2:], 0.35)
    with torch.no_grad():
        wanted, found = net.decode(z[None], between)[0], Decode(net, s)(z, between)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-4)
    assert found.std() > 1e-3
