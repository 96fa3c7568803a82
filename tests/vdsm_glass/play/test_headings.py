"""The page of every kind of model is called by that model's name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from html import unescape
from urllib.request import urlopen

import pytest

from tests.processes import kill_all_of
from tests.vdsm_glass.discrete.small import MODELS, caddy, latent_actions
from tests.vdsm_glass.dsvae.test_network import NARROW
from tests.vdsm_glass.play.small import GLASS_DATA, VDSM_DATA, glass_checkpoint, vdsm_checkpoint, write_run
from vdsm_glass.dsvae.network import DSVAE
from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.trivial.modules import FirstFrameModule

SERVE = """
import sys
from pathlib import Path
from vdsm_glass.commands.play import add_page
from vdsm_glass.play.server import bind, serve
for path in map(Path, sys.argv[1:]):
    add_page(path, None, [], address="/" + path.parents[1].name)
serve(bind(None), browser=False)
"""
TITLES = {
    "vdsm": "VDSM",
    "vdsm_frames": "VDSM's first stage",
    "dsvae": "DSVAE",
    "glass": "GLASS",
    "caddy": "CADDY",
    "latent_actions": "Latent actions",
    "first_frame": "First frame",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server of all pages."""
    folder = tmp_path_factory.mktemp("headings")
    dsvae, still = DSVAE(Sizes(**NARROW)), FirstFrameModule()
    checkpoints = [
        vdsm_checkpoint(folder / "vdsm"),
        vdsm_checkpoint(folder / "vdsm_frames", stage=1),
        write_run(folder / "dsvae", dsvae, {"kind": "dsvae", "sizes": asdict(dsvae.sizes)}, VDSM_DATA),
        glass_checkpoint(folder / "glass"),
        write_run(folder / "first_frame", still.net, {"kind": "first_frame"}, VDSM_DATA),
    ]
    for kind, small in {"caddy": caddy, "latent_actions": latent_actions}.items():
        given = {"kind": kind, "sizes": asdict(small.small_sizes())}
        checkpoints.append(write_run(folder / kind, MODELS[kind]().network, given, GLASS_DATA))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, *map(str, checkpoints)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        said = ""
        assert process.stdout is not None
        while "playing at " not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield said.partition("playing at ")[2].split()[0]
    finally:
        kill_all_of(process.pid)
        process.communicate()


@pytest.mark.parametrize("kind", TITLES)
def test_the_title_and_the_heading_have_the_models_own_name(kind: str, address: str):
    with urlopen(f"{address}/{kind}") as answer:
        page = unescape(answer.read().decode())
    called = f"Play with {TITLES[kind]}"
    assert f"<title>{called}</title>" in page
    assert page.count(f'"{called}"') == 1, "the heading"
