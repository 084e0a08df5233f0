"""The door: start the server on a free port of this machine, with a token nobody can guess."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from slicekit import checks
from slicekit.errors import DeviceError
from slicekit.review.cases import ReviewCase
from slicekit.windows import Window

log = logging.getLogger(__name__)

HOST = "127.0.0.1"


class Address(NamedTuple):
    """Where the page is."""

    port: int
    token: str

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"http://{HOST}:{self.port}/?token={self.token}"


def serve(
    cases: Sequence[ReviewCase],
    *,
    port: int = 0,
    model: str | None = None,
    device: str = "auto",
    windows: Sequence[Window] = (),
    told: Callable[[Address, bool], None] = lambda address, has_viewer: None,
) -> None:
    """Serve the page until it is interrupted.

    Args:
        cases: What is to be reviewed.
        port: Where; a free one is taken for 0.
        model: Propagator by name, recipe or weights; ``None`` interpolates shapes.
        device: As for ``pick_runtime``.
        windows: Of the model, for looking.
        told: Told the address, and whether NiiVue is there, before the first request is taken.

    Raises:
        MissingDependencyError: FastAPI or uvicorn is not installed.
        DeviceError: The port is taken.
    """
    expect_installed()
    import uvicorn

    from slicekit.review.desk import Desk
    from slicekit.review.guard import MOST_HEADER_BYTES, Guard, HurriedProtocol
    from slicekit.review.pages import Pages
    from slicekit.review.server import make_app

    listening = _listen(port)
    pages = Pages()
    address = Address(listening.getsockname()[1], secrets.token_urlsafe(24))
    desk = Desk(cases, model=model, device=device, windows=windows)
    guarded = Guard(make_app(desk, pages), token=address.token, port=address.port)
    config = uvicorn.Config(
        guarded,
        http=HurriedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        limit_concurrency=100,
        timeout_graceful_shutdown=3,
    )
    told(address, pages.has_viewer)
    with contextlib.closing(listening):
        uvicorn.Server(config).run(sockets=[listening])


def expect_installed() -> None:
    """Refuse to start without what the extra ``web`` brings.

    Raises:
        MissingDependencyError: Something is not installed.
    """
    for module in ("fastapi", "uvicorn"):
        checks.require(module, feature="the review page", extra="web")


def _listen(port: int) -> socket.socket:
    """Open a socket of this machine alone.

    Raises:
        DeviceError: The port is taken or may not be used.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
    except OSError as fault:
        opened.close()
        raise DeviceError(
            f"port {port} cannot be used ({fault.strerror}); leave --port out to take a free one"
        ) from fault
    opened.listen(64)
    return opened
