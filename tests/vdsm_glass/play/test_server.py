"""What the server lets through."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from data_modules.common.errors import UserError
from vdsm_glass.play.media import MOST_BYTES
from vdsm_glass.play.server import HOST, TOKEN, Guard, bind, refusal


def scope(kind: str = "http", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": kind, "headers": pairs}


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_pages_of_this_machine_are_answered(kind: str):
    assert refusal(scope(kind, host="127.0.0.1:8080")) is None
    assert refusal(scope(kind, host="localhost:8080", origin="http://localhost:8080")) is None
    for host in ("evil.example:8080", "127.0.0.1.evil.example", "", "[::1", "localhost@evil.example"):
        assert refusal(scope(kind, host=host)) == 403
    for origin in ("https://evil.example", "null", "http://localhost.evil.example", "", "http://127.0.0.1:8081"):
        assert refusal(scope(kind, host="127.0.0.1:8080", origin=origin)) == 403
    assert refusal(scope(kind)) == 403
    assert refusal({"type": "lifespan"}) is None


def test_large_bodies_are_refused_before_they_are_read():
    def of(length: str) -> int | None:
        return refusal(scope(host="127.0.0.1", content_length=length))

    assert of(str(MOST_BYTES)) is None
    assert of(str(2 * MOST_BYTES)) == of("-1") == of("much") == 413
    assert refusal(scope(host="127.0.0.1", transfer_encoding="chunked")) == 411


@pytest.mark.parametrize(("kind", "first"), [("http", "http.response.start"), ("websocket", "websocket.close")])
def test_what_is_refused_does_not_reach_the_page(kind: str, first: str):
    reached, sent = [], []

    async def page(*_: object) -> None:
        reached.append(True)

    async def receive() -> dict[str, str]:
        return {"type": f"{kind}.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(page)(scope(kind, host="evil.example"), receive, send))
    assert not reached
    assert sent[0]["type"] == first
    asyncio.run(Guard(page)(scope(kind, host="localhost"), receive, send))
    assert reached


def test_a_port_is_had_on_this_machine_alone_or_named_as_taken():
    with bind(None) as one:
        assert one.getsockname()[0] == HOST
        port = one.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used"):
            bind(port)
    with pytest.raises(UserError, match="port 99999 cannot be used"):
        bind(99999)


def test_who_comes_before_the_page_is_ready_waits_and_is_not_refused():
    with bind(None) as made, socket.create_connection(made.getsockname(), timeout=10):
        pass


def test_another_host_is_listened_on_and_answered_by_its_own_name_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vdsm_glass.play.server.NAMES", {HOST, "localhost"})
    with bind(None, "0.0.0.0") as everywhere:
        assert everywhere.getsockname()[0] == "0.0.0.0"
    assert refusal(scope(host="0.0.0.0")) == 403
    assert refusal(scope(host="192.0.2.1:80")) == 403
    assert refusal(scope(host="127.0.0.2:80")) == 403
    with bind(None, "127.0.0.2"):
        assert refusal(scope(host="127.0.0.2:80", origin="http://127.0.0.2:80")) is None
        assert refusal(scope(host="localhost")) is None
    with pytest.raises(UserError, match=r"192\.0\.2\.1, port any, cannot be used"):
        bind(None, "192.0.2.1")


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_where_others_can_connect_a_token_is_asked_for(kind: str):
    reached: list[bool] = []

    async def page(*_: object) -> None:
        reached.append(True)

    def ask(query: str = "", **headers: str) -> dict[str, Any]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, str]:
            return {"type": f"{kind}.connect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        given = scope(kind, host="localhost", **headers) | {"query_string": query.encode()}
        asyncio.run(Guard(page, "secret")(given, receive, send))
        return sent[0] if sent else {}

    refused = 401 if kind == "http" else None
    for query, cookie in (("", ""), (f"{TOKEN}=secre", ""), ("", f"{TOKEN}=Secret"), ("", "other=secret"), ("", "[=;")):
        assert ask(query, cookie=cookie).get("status") == refused
    assert not reached
    if kind == "http":
        opened = ask(f"{TOKEN}=secret")
        assert opened["status"] == 303
        cookie = dict(opened["headers"])[b"set-cookie"].decode()
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
    assert not reached
    assert not ask(cookie=f"theme=dark; {TOKEN}=secret")
    assert reached == [True]
