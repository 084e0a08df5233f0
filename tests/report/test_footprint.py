"""The peak is that of the work at hand, not of what went before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slicekit.report import footprint
from slicekit.report.footprint import forget_peak, peak

ALONE = """
import numpy as np
from slicekit.report.footprint import forget_peak, give_back, peak

forget_peak()
before = peak().memory_mib
large = np.ones(100 * 2**20, np.uint8)
held = peak().memory_mib
del large
give_back()
forget_peak()
print(before, held, peak().memory_mib)
"""


def test_a_large_array_is_seen_and_forgotten() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=True
    )
    before, held, after = map(float, told.stdout.split())
    assert 95 < held - before < 130
    assert after < held - 80


def test_without_proc_the_system_is_asked_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(footprint, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(footprint, "_CLEAR", tmp_path / "no" / "folder")
    forget_peak()
    found = peak()
    assert found.memory_mib is not None and found.memory_mib > 20
    assert found.gpu_memory_mib is None
