"""One piece of work at a time; it can be stopped, and its faults are told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from slicekit.errors import LabelError
from slicekit.review.job import BusyError, Job

Told = Callable[[int, int], None]


def test_a_job_tells_how_far_it_is_and_that_it_is_done() -> None:
    job = Job()
    job.start(lambda told: told(3, 7))
    job.wait(5)
    assert (job.progress.outcome, job.progress.done, job.progress.running) == ("done", 7, False)


def test_a_second_one_waits_its_turn_and_the_first_can_be_stopped() -> None:
    job, going = Job(), threading.Event()

    def work(told: Told) -> None:
        while True:
            told(1, 100)
            going.set()

    job.start(work)
    assert going.wait(5)
    with pytest.raises(BusyError, match="is running already"):
        job.start(work)
    job.stop()
    job.wait(5)
    assert (job.progress.outcome, job.progress.done) == ("stopped", 1)
    job.start(lambda told: told(1, 1))
    job.wait(5)
    assert job.progress.outcome == "done"


def test_a_fault_is_told_with_its_cure() -> None:
    def work(told: Told) -> None:
        raise LabelError("the liver is gone; draw it")

    job = Job()
    job.start(work)
    job.wait(5)
    assert job.progress.outcome == "failed" and job.progress.fault is not None
    assert job.progress.fault["cure"] == "draw it"
