"""Who is refused, through a real socket: foreign names, no token, too much, too slowly.

Numbers are those of the list of fault cases.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.review import guard

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, phantoms: tuple[Any, ...]
) -> Iterator[tuple[int, str]]:
    """Port and token of a server in a thread, which loses its patience soon."""
    import threading

    import uvicorn

    from slicekit.io import write_volume
    from slicekit.review.cases import review_cases
    from slicekit.review.desk import Desk
    from slicekit.review.pages import Pages
    from slicekit.review.serve import HOST, _listen
    from slicekit.review.server import make_app

    folder = tmp_path_factory.mktemp("guarded")
    scan = write_volume(folder / "a.nii.gz", phantoms[0].image)
    listening = _listen(0)
    assert listening.getsockname()[0] == HOST == "127.0.0.1"
    port, token, before = listening.getsockname()[1], "the-token", guard.PATIENCE_S
    guard.PATIENCE_S = 0.5
    desk = Desk(review_cases(scan, out=folder / "out"))
    app = guard.Guard(make_app(desk, Pages()), token=token, port=port)
    config = uvicorn.Config(
        app, http=guard.HurriedProtocol, ws="none", log_config=None, access_log=False,
        h11_max_incomplete_event_size=16 << 10,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield port, token
    server.should_exit = True
    thread.join(10)
    guard.PATIENCE_S = before
    listening.close()


def ask(port: int, text: bytes, *, wait_s: float = 5.0) -> Answer:
    """Send bytes as they are and read until the other side hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as wire:
        wire.sendall(text)
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()


def get(port: int, path: str, **headers: str) -> Answer:
    words = {"Host": f"127.0.0.1:{port}", "Connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in words.items())
    return ask(port, f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())


def test_case_40_the_printed_address_gives_a_cookie_that_is_enough(page: tuple[int, str]) -> None:
    port, token = page
    status, headers, _ = get(port, f"/?token={token}")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    status, headers, body = get(port, "/", Cookie=cookie)
    assert status == 200 and b"<title>slicekit review" in body
    assert "default-src 'self'" in headers["content-security-policy"]


def test_case_40_it_listens_on_this_machine_alone(page: tuple[int, str]) -> None:
    port, _ = page
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    assert get(port, "/healthz")[0] == 200


@pytest.mark.parametrize("given", ["", "wrong", "the-toke", "the-token2", "%00", "%FF"])
def test_case_40_without_the_token_nothing_is_told(page: tuple[int, str], given: str) -> None:
    port, _ = page
    for answer in (
        get(port, f"/?token={given}"),
        get(port, "/api/cases", x_slicekit_token=given or "no"),
        get(port, "/api/cases", Cookie=f"slicekit_{port}={given}"),
        get(port, "/api/cases?token=the-token"),  # in an address only on the first visit
    ):
        assert answer[0] == 403
        assert "open the address" in json.loads(answer[2])["cure"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "0.0.0.0", ""]
)
def test_case_40_a_foreign_host_is_refused(page: tuple[int, str], host: str) -> None:
    port, token = page
    for path in ("/healthz", f"/?token={token}"):
        assert get(port, path, Host=host)[0] == 403


def test_case_40_a_foreign_page_is_refused_even_with_the_token(page: tuple[int, str]) -> None:
    port, token = page
    status, _, body = get(port, "/api/cases", Origin="http://evil.example", x_slicekit_token=token)
    assert status == 403 and json.loads(body)["cause"] == "another web page asked"
    ours = get(port, "/api/cases", Origin=f"http://127.0.0.1:{port}", x_slicekit_token=token)
    assert ours[0] == 200


def test_case_40_bodies_are_limited_whether_they_say_their_length_or_not(
    page: tuple[int, str],
) -> None:
    port, token = page
    head = (
        f"PUT /api/cases/0/slices/0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"X-Slicekit-Token: {token}\r\n"
    )
    status, _, body = ask(port, f"{head}Content-Length: {1 << 40}\r\n\r\n".encode())
    assert status == 413 and "one slice at a time" in json.loads(body)["cure"]
    for strange in ("-1", "ten"):
        assert ask(port, f"{head}Content-Length: {strange}\r\n\r\n".encode())[0] in (400, 413)
    chunk = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(guard.MOST_BYTES // (1 << 20) + 1):
                wire.sendall(chunk)
        except ConnectionError:
            return  # it hung up in the middle, which does as well
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        assert answer.status == 413


def test_case_40_headers_are_limited(page: tuple[int, str]) -> None:
    port, _ = page
    assert get(port, "/healthz", X_Long="x" * (64 << 10))[0] in (400, 431)
    assert get(port, "/healthz", X_Long="x" * (15 << 10))[0] == 200


def test_case_40_a_slow_client_is_hung_up_on_and_hinders_nobody(page: tuple[int, str]) -> None:
    port, token = page
    half = (
        f"PUT /api/cases/0/slices/0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"X-Slicekit-Token: {token}\r\nContent-Length: 4096\r\n\r\nxx"
    ).encode()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as silent,
        socket.create_connection(("127.0.0.1", port), timeout=5) as slow,
    ):
        silent.sendall(b"GET / HT")
        slow.sendall(half)
        assert get(port, "/healthz")[0] == 200
        assert silent.recv(100) == b""
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        wire.request("GET", "/healthz")
        assert wire.getresponse().read()
        wire.sock.sendall(b"GET / HT")  # a second request that never ends
        assert wire.sock.recv(100) == b""
        wire.close()
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        assert answer.status == 408
        assert "did not come in time" in json.loads(answer.read())["cause"]


@pytest.mark.parametrize(
    "text",
    [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 300],
    ids=["tls", "no target", "version", "zeros"],
)
def test_case_40_what_is_no_request_is_refused(page: tuple[int, str], text: bytes) -> None:
    port, _ = page
    with contextlib.suppress(http.client.HTTPException, ConnectionError):  # it may just hang up
        assert ask(port, text)[0] in (400, 403)
    assert get(port, "/healthz")[0] == 200


def test_case_37_what_was_drawn_outlives_a_kill(
    served: Callable[..., Any], scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[1])
    words = (scan, "-o", tmp_path / "out", "--method", "interpolate")

    def call(page: Any, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        wire = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        wire.request(method, path, body, {"X-Slicekit-Token": page.token})
        answer = wire.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        wire.close()
        assert answer.status == 200, found
        return found

    with served(*words) as page:
        call(page, "PUT", f"/api/cases/0/slices/{z}?drawn=1", liver[z].astype(np.uint8).tobytes())
        until = time.monotonic() + 20
        while not call(page, "GET", "/api/cases/0/state")["kept"]:
            assert time.monotonic() < until, "it is not written by itself"
            time.sleep(0.1)
        os.kill(page.process.pid, signal.SIGKILL)
        page.process.wait()
    with served(*words) as page:
        state = call(page, "GET", "/api/cases/0/state")
        assert state["origin"]["1"][z] == 1
        volume = state["volumes_ml"]["1"]
    assert volume > 0
    assert not list((tmp_path / "out").glob(".slicekit-*")), "no half file is left"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_case_37_a_signal_ends_it_and_keeps_what_was_drawn_just_now(
    served: Callable[..., Any], scan: Path, tmp_path: Path, number: int, code: int
) -> None:
    words = (scan, "-o", tmp_path / "out", "--method", "interpolate")
    with served(*words) as page:
        wire = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        body = np.ones((64, 64), np.uint8).tobytes()
        wire.request("PUT", "/api/cases/0/slices/3?drawn=1", body, {"X-Slicekit-Token": page.token})
        assert wire.getresponse().status == 200
        wire.close()
        page.process.send_signal(number)
        assert page.process.wait(20) == code
    assert (tmp_path / "out" / "patient.session").exists()
    assert json.loads((tmp_path / "out" / "patient.json").read_text())["drawn"] == {"organ": [3]}
