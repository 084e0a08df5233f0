"""Stages are timed by name, one that comes twice in all."""

from __future__ import annotations

import pytest

from slicekit.inference import stopwatch
from slicekit.inference.stopwatch import Stopwatch


def test_seconds_of_a_stage_add_up_even_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 12.5, 20.0, 20.25])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    with watch("read"):
        pass
    with watch("write"):
        pass
    with pytest.raises(ValueError, match="spilt"), watch("read"):
        raise ValueError("spilt")
    assert watch.seconds == {"read": 1.25, "write": 2.5}
    watch.seconds["read"] = 0.12345
    assert watch.rounded() == {"read": 0.123, "write": 2.5}
