"""Who may talk to the page: this machine, this address, this token, and nobody at length.

Browsers let any web page send requests to 127.0.0.1, and a foreign name may be made to point
there. So the Host and the Origin must be ours, and everything but ``/healthz`` wants a token that
only the printed address holds.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from uvicorn.protocols.http.h11_impl import H11Protocol

from slicekit.review.faults import TooLargeError, TooSlowError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_BYTES = 32 << 20
"""Largest body of a request: two bytes a pixel of a slice of 4096 x 4096."""
MOST_HEADER_BYTES = 16 << 10
"""Most that may stand in front of a body."""
PATIENCE_S = 10.0
"""Longest silence in the middle of a request."""
HEADER = "x-slicekit-token"
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Lets a request through, or answers it with a refusal.

    Args:
        app: Gets what is let through.
        token: What the printed address holds.
        port: Where the server listens.
    """

    def __init__(self, app: App, *, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._cookie = f"slicekit_{port}"

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        if (refusal := self._refusal(scope, headers)) is not None:
            await _answer(send, *refusal)
            return
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        if scope["path"] == "/" and given and self._is_token(given.encode("utf-8", "replace")):
            await self._welcome(send)
            return
        await self._app(scope, _patient(receive), _with_headers(send))

    def _refusal(
        self, scope: MutableMapping[str, Any], headers: dict[str, bytes]
    ) -> tuple[int, str, str] | None:
        """Return status, cause and cure where a request is not let through."""
        host = headers.get("host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            return 403, "this address is not the page's own", "open the address that was printed"
        origin = headers.get("origin", b"").decode("latin-1").lower()
        if origin and origin not in {f"http://{name}" for name in self._hosts}:
            return 403, "another web page asked", "open the address that was printed"
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["query_string"]) > MOST_HEADER_BYTES:
            return 431, "the headers are too long", "delete this page's cookies, then open it anew"
        length = headers.get("content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"a body may have {MOST_BYTES:,} bytes", "send one slice at a time"
        if scope["path"] != "/healthz" and not self._knows_token(scope, headers):
            return 403, "the token is missing or wrong", "open the address that was printed"
        return None

    def _knows_token(self, scope: MutableMapping[str, Any], headers: dict[str, bytes]) -> bool:
        """Look for the token: a header, a cookie, or the address of the first visit."""
        if HEADER in headers:
            return self._is_token(headers[HEADER])
        try:
            cookie = SimpleCookie(headers.get("cookie", b"").decode("latin-1")).get(self._cookie)
        except CookieError:
            cookie = None
        if cookie is not None and self._is_token(cookie.value.encode("latin-1", "replace")):
            return True
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [""])[-1] if scope["path"] == "/" else ""
        return self._is_token(given.encode("utf-8", "replace"))

    def _is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._token)

    async def _welcome(self, send: Send) -> None:
        """Turn the token of the address into a cookie, and the address into a plain one."""
        cookie = f"{self._cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class HurriedProtocol(H11Protocol):
    """Hangs up on who connects, or goes on, and does not say what is wanted."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._hurry = self.loop.call_later(PATIENCE_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Stop the clock once a request is there, and start it where one has begun."""
        super().data_received(data)
        if not self._is_waiting():
            self._hurry.cancel()
        elif self._hurry.cancelled():
            self._hurry = self.loop.call_later(PATIENCE_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._hurry.cancel()
        super().connection_lost(exc)

    def _is_waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self) -> None:
        if self._is_waiting() and not self.transport.is_closing():
            self.transport.close()


def _patient(receive: Receive) -> Receive:
    """Count what is received, and wait for it no longer than is decent."""
    taken, whole = 0, False

    async def limited() -> Message:
        nonlocal taken, whole
        if whole:  # only a disconnection is left to wait for
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), PATIENCE_S)
        except TimeoutError as fault:
            raise TooSlowError(
                "the rest of the request did not come in time; send it again"
            ) from fault
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > MOST_BYTES:
            raise TooLargeError(f"a body may have {MOST_BYTES:,} bytes; send one slice at a time")
        return message

    return limited


def _with_headers(send: Send) -> Send:
    """Add what keeps browsers strict to every answer."""

    async def strict(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name for name, _ in message.get("headers", [])}
            more = [(name, value) for name, value in _HEADERS if name not in known]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return strict


async def _answer(send: Send, status: int, cause: str, cure: str) -> None:
    """Refuse in JSON."""
    said = {"error": "Refused", "cause": cause, "cure": cure}
    headers = [(b"content-type", b"application/json"), (b"connection", b"close"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})
