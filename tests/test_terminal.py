"""Bars of a batch: the time left, and the stages of one scan at a time."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from slicekit import terminal
from slicekit.terminal import BatchBar, shorten


def test_the_time_left_is_the_mean_of_all_scans_that_were_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    with Progress(terminal._TimeLeft(), console=Console(file=io.StringIO())) as shown:
        bar = BatchBar(shown, 5)
        task = shown.tasks[0]
        column = terminal._TimeLeft()
        assert column.render(task).plain == "-:--:--"
        bar.skip()  # of the five one was done before
        clock[0] += 3000
        bar.step()
        assert column.render(task).plain == "2:30:00"
        clock[0] += 1000
        assert column.render(task).plain == "2:13:20"  # it goes on while a scan is worked on
        bar.step()
        assert column.render(task).plain == "1:06:40"


def test_a_scan_has_stages_of_its_own() -> None:
    with Progress(console=Console(file=io.StringIO())) as shown:
        bar = BatchBar(shown, 2)
        bar.next_scan(Path("in/a.nii.gz"))
        bar.stage("reference", 3, 9)
        bar.stage("reference", 9, 9)
        assert [task.description for task in shown.tasks] == ["a.nii.gz", "reference"]
        assert shown.tasks[1].completed == 9
        bar.next_scan(Path("in/b.nii.gz"))
        assert [task.description for task in shown.tasks] == ["b.nii.gz"]


def test_long_names_keep_both_ends() -> None:
    short = shorten("a" * 20 + "_0007.nii.gz", 16)
    assert short == "aaaaaaa...nii.gz"
    assert shorten("short", 16) == "short"
