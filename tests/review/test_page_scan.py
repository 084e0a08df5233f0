"""What a window takes over from the server and what it keeps, in node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def test_a_window_loses_nothing_and_overwrites_nothing() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js, which runs the page's own code")
    script = Path(__file__).with_name("try_scan.mjs")
    done = subprocess.run([node, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout
