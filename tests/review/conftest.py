"""Fixtures of the review page: small cases, a server in this process and one as people start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from slicekit.data.phantom import Phantom
    from slicekit.review.cases import ReviewCase
    from slicekit.volume import Volume

PORT = 8123
TOKEN = "a-token-of-the-tests"
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scan(phantoms: tuple[Phantom, ...], tmp_path: Path) -> Path:
    """A scan of 16 slices of 64 x 64."""
    from slicekit.io import write_volume

    return write_volume(tmp_path / "patient.nii.gz", phantoms[0].image)


@pytest.fixture
def case(scan: Path, tmp_path: Path) -> ReviewCase:
    """The scan as a case whose results go into ``out``."""
    from slicekit.review.cases import review_cases

    return review_cases(scan, out=tmp_path / "out")[0]


@pytest.fixture
def image(scan: Path) -> Volume:
    """The scan as it is read."""
    from slicekit.io import read_volume

    return read_volume(scan)


@pytest.fixture
def liver(phantoms: tuple[Phantom, ...]) -> Any:
    """``(z, y, x)`` where the liver of the scan is."""
    return np.asarray(phantoms[0].labels.array == 6)


@pytest.fixture
def make_client() -> Iterator[Callable[..., TestClient]]:
    """Start the application in this process; keywords as for ``review_cases``.

    With ``after_the_others`` those that were started before are ended.
    """
    from fastapi.testclient import TestClient

    from slicekit.review.cases import review_cases
    from slicekit.review.desk import Desk
    from slicekit.review.guard import Guard
    from slicekit.review.pages import Pages
    from slicekit.review.server import make_app

    opened: list[TestClient] = []

    def close() -> None:
        while opened:
            opened.pop().__exit__(None, None, None)

    def make(
        path: Path, *, model: str | None = None, after_the_others: bool = False, **options: Any
    ) -> TestClient:
        if after_the_others:
            close()
        desk = Desk(review_cases(path, **options), model=model)
        app = Guard(make_app(desk, Pages()), token=TOKEN, port=PORT)
        client = TestClient(
            app,  # type: ignore[arg-type]
            base_url=f"http://127.0.0.1:{PORT}",
            headers={"x-slicekit-token": TOKEN},
            raise_server_exceptions=False,
        )
        client.__enter__()
        opened.append(client)
        return client

    yield make
    close()


class Served(NamedTuple):
    """A server as a person starts it."""

    process: subprocess.Popen[str]
    url: str
    port: int
    token: str


@pytest.fixture
def served() -> Iterator[Callable[..., Any]]:
    """Start ``slicekit review`` in a process of its own; a context that kills it at its end."""

    @contextmanager
    def start(*words: object) -> Iterator[Served]:
        code = "from slicekit.cli import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "review", *map(str, words), "--no-browser"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        )
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            url = next(line.split()[1] for line in lines if line.startswith("open "))
            parts = urlsplit(url)
            yield Served(process, url, int(parts.port or 0), parse_qs(parts.query)["token"][0])
        finally:
            process.kill()  # the hard way, so that nothing is tidied up
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    yield start
