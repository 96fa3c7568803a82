"""What pages of others can do to `play` from the same browser."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.vdsm_glass.play.browser import Program, chromium, until
from tests.vdsm_glass.play.small import glass_checkpoint

pytestmark = pytest.mark.thorough

ATTACKER = "attacker.example"
# A page of another site sends a form, opens the socket through which buttons are pressed, and reads the page.
PAGE = """<!doctype html><title>waits</title><script>
const target = new URLSearchParams(location.search).get("target");
const socket = new Promise(done => {
  const opened = new WebSocket(`ws://${target}/_nicegui_ws/socket.io/?EIO=4&transport=websocket`);
  opened.onopen = () => done("opened"); opened.onerror = () => done("refused");
});
const form = new FormData(); form.append("file", new Blob(["x"]), "x.png");
const sent = fetch(`http://${target}/_nicegui/client/x/upload/1`, {method: "POST", body: form})
  .then(answer => "read", () => "refused");
const page = fetch(`http://${target}/`).then(answer => "read", () => "refused");
Promise.all([socket, sent, page]).then(all => { document.title = all.join(" "); });
</script>"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("attacked")
    made = Program(glass_checkpoint(folder / "glass"), folder / "tmp")
    try:
        made.opened()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), rebound=ATTACKER) as made:
        yield made


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the attacker's own server."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_name_that_was_bound_again_to_this_machine_shows_nothing(driver: Any, program: Program):
    driver.get(program.opened())
    assert "Play with GLASS" in driver.title
    driver.get(f"http://{ATTACKER}:{urlsplit(program.address).port}/")
    assert "Play with" not in driver.page_source


@pytest.mark.parametrize("host", [ATTACKER, "127.0.0.1"])
def test_a_page_of_another_site_gets_nothing_from_the_same_browser(
    host: str, driver: Any, program: Program, attacker: int
):
    driver.get(f"http://{host}:{attacker}/?target={urlsplit(program.opened()).netloc}")
    assert until(lambda: driver.title != "waits" and driver.title, "the attack's end") == "refused refused refused"
