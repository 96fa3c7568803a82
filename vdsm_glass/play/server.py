"""The page's server. It listens on this machine only unless told otherwise, answers only its own pages, and ends with
its terminal."""

from __future__ import annotations

import ipaddress
import secrets
import signal
import socket
import sys
import tempfile
import warnings
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from data_modules.common.errors import UserError
from vdsm_glass.play.media import MOST_BYTES

HOST = "127.0.0.1"
NAMES = {HOST, "localhost"}
SPARE: dict[str, Any] = {"show_welcome_message": False, "binding_refresh_interval": None, "message_history_length": 50}
"""NiceGUI's options that switch off a loop which is not used here, and limit what is kept for returning browsers."""
SLACK = 100_000
"""How many bytes a form may have besides its file."""
TOKEN = "vdsm_glass_token"
"""Name of what an address must carry once, and a cookie after that, where others can reach the server."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Guard:
    """Refuses what does not come from a page of this server, and what is too large, before anything reads it.

    Other sites may not reach it from the same browser: neither under their own name (`Host`) nor from their own pages
    (`Origin`). With a token, only browsers that were opened with it may: `Host` is what the sender says it is.

    Args: token, None where only this machine can connect.
    """

    def __init__(self, app: App, token: str | None = None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        status = refusal(scope)
        if status is None and self.token is not None and scope["type"] != "lifespan":
            if scope["type"] == "http" and same(given_in_address(scope), self.token):
                cookie = f"{TOKEN}={self.token}; Path=/; HttpOnly; SameSite=Strict"
                headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"referrer-policy", b"no-referrer")]
                await send({"type": "http.response.start", "status": 303, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
            status = None if same(given_in_cookie(scope), self.token) else 401
        if status is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})


def refusal(scope: Scope) -> int | None:
    """The HTTP status with which a request is refused; None if it is let through."""
    if scope["type"] not in ("http", "websocket"):
        return None
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host, origin = headers.get("host", ""), headers.get("origin")
    # Another program of this machine, at another port, is another site too.
    if not local(f"//{host}") or (origin is not None and origin.partition("://")[2] != host):
        return 403
    if "chunked" in headers.get("transfer-encoding", ""):
        return 411
    length = headers.get("content-length", "0")
    return 413 if not length.isdecimal() or int(length) > MOST_BYTES + SLACK else None


def local(address: str) -> bool:
    """Whether an address names this machine."""
    try:
        return urlsplit(address).hostname in NAMES
    except ValueError:
        return False


def given_in_address(scope: Scope) -> str:
    """The token in a request's address, or nothing."""
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get(TOKEN, [""])[0]


def given_in_cookie(scope: Scope) -> str:
    """The token in a request's cookie, or nothing."""
    found = b"; ".join(value for name, value in scope["headers"] if name.lower() == b"cookie")
    try:
        morsel = SimpleCookie(found.decode("latin-1")).get(TOKEN)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def same(given: str, token: str) -> bool:
    """Whether they are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest(given.encode(), token.encode())


def bind(port: int | None, host: str = HOST) -> socket.socket:
    """A socket that listens at `port` or at any that is free, on this machine alone unless `host` is another address.

    It takes connections at once; they wait until `serve` answers them. So an address that was told is never refused.
    Pages are answered under the names of this machine and under `host`. So what listens on 0.0.0.0 in a container is
    reached through its published port as localhost, and by no other name. `serve` asks for a token then.

    Raises: UserError, the address or the port is taken, or not to be had.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port or 0))
        made.listen()
    except (OSError, OverflowError) as error:
        made.close()
        at = f"port {port}" if host == HOST else f"{host}, port {port or 'any'},"
        raise UserError(f"{at} cannot be used ({error}); leave --port out for a free one") from error
    if host != "0.0.0.0":
        NAMES.add(host)
    return made


def serve(listening: socket.socket, *, browser: bool) -> None:
    """Serves the pages that were added, until Ctrl-C, which is raised again as KeyboardInterrupt.

    Whatever is written meanwhile, uploads above all, lies in one folder, which is gone afterwards.
    Args: browser, open the page in it.
    """
    import uvicorn
    from fastapi import FastAPI
    from nicegui import app, ui

    host, port = listening.getsockname()
    token = None if ipaddress.ip_address(host).is_loopback else secrets.token_urlsafe(24)
    address = f"http://{HOST if host == '0.0.0.0' else host}:{port}" + (f"/?{TOKEN}={token}" if token else "")

    def tell() -> None:
        print(f"playing at {address}   (Ctrl-C ends)", flush=True)
        if token:
            print(
                f"Every machine that reaches {host}:{port} can play and send pictures if it knows this address; "
                "nothing is encrypted.",
                flush=True,
            )
        if browser:
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    outer = FastAPI(openapi_url=None)
    app.on_startup(tell)
    ui.run_with(outer, title="vdsm-glass play", dark=True, tailwind=False, **SPARE)
    config = uvicorn.Config(Guard(outer, token), log_level="warning", timeout_graceful_shutdown=1)
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="vdsm-glass-play-") as folder:
        tempfile.tempdir = folder
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which uvicorn passes on, and which ends `with` blocks
        try:
            with warnings.catch_warnings():
                # NiceGUI looks for its server among all objects of Python, PyTorch's deprecated ones too.
                warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
                uvicorn.Server(config).run(sockets=[listening])
        finally:
            tempfile.tempdir = before
