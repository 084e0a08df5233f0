"""The benchmark of statistics compares what its methods find before it compares their seconds."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def test_statistics_are_the_same_by_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    speed = runpy.run_path(str(BENCHMARKS / "statistics_speed.py"), run_name="statistics_speed")
    sys.modules.pop("results_io", None)
    image, labels = speed["make_scan"]((48, 96, 96), seed=1)
    assert image.shape == labels.shape == (48, 96, 96)
    seconds = speed["measure"](image, labels, turns=1)
    assert speed["ratios"](seconds)["times_organ_loop"] > 0
    broken = labels.with_array(labels.array * 0)
    monkeypatch.setitem(speed["METHODS"], "wrong", lambda i, _: speed["one_pass"](i, broken))
    with pytest.raises(SystemExit, match="wrong: "):
        speed["measure"](image, labels, turns=1)
