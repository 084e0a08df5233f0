"""The review page, from the command line: what is refused before a server starts."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Door = Callable[..., Any]


def test_what_is_missing_is_told_at_the_door(door: Door, tmp_path: Path) -> None:
    done = door("slicekit", "review", tmp_path / "no.nii.gz")
    assert done.code == 1 and "does not exist" in done.err


def test_without_the_web_extra_it_is_said_how_to_get_it(
    door: Door, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = door("slicekit", "review", scans)
    assert done.code == 1
    assert "the review page needs the package 'fastapi'" in done.err
    assert "slicekit[web]" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "stnc"), "did you mean"),
        (("--method", "interpolate", "--model", "any_propagator"), "leave --model out"),
        (("--port", "70000"), "65535"),
    ],
)
def test_a_wrong_command_line_is_refused(
    door: Door, scans: Path, words: tuple[str, ...], said: str
) -> None:
    done = door("slicekit", "review", scans, *words)
    assert done.code == 2 and said in done.err


def test_a_port_in_use_is_named(door: Door, scans: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = door("slicekit", "review", scans, "-o", tmp_path / "out", "--port", port)
    assert done.code == 1 and f"port {port} cannot be used" in done.err
    assert not (tmp_path / "out").exists()


def test_results_never_go_over_the_scans(door: Door, scans: Path) -> None:
    done = door("slicekit", "review", scans, "-o", scans)
    assert done.code == 1 and "is the input itself" in done.err
