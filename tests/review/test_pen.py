"""The pen of the page, voxel by voxel, in node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def test_pen_and_fill() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js, which runs the page's own code")
    script = Path(__file__).with_name("try_pen.mjs")
    done = subprocess.run([node, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout
