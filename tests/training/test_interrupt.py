"""The first signal is kept for the loop, the second one acts as ever."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from slicekit.errors import SlicekitError
from slicekit.training.interrupt import Interrupted, StopSignals

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def fatal_signals():
    """What a command line does with a signal."""

    def stop(number, _frame):
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_caught_and_the_second_acts(number):
    with StopSignals() as stop:
        assert stop.caught is None
        signal.raise_signal(number)
        assert stop.caught == number
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(number)
    assert ended.value.code == 128 + number


def test_after_the_first_signal_the_other_kind_acts_too():
    with StopSignals() as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGINT)
    assert stop.caught == signal.SIGTERM


def test_the_handlers_come_back_even_after_a_fault(fatal_signals):
    with pytest.raises(ZeroDivisionError), StopSignals():
        assert signal.getsignal(signal.SIGTERM) is not fatal_signals
        raise ZeroDivisionError
    assert all(signal.getsignal(number) is fatal_signals for number in SIGNALS)


def test_outside_the_main_thread_nothing_is_caught(fatal_signals):
    seen = []

    def work():
        with StopSignals() as stop:
            seen.append((stop.caught, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, fatal_signals)]


def test_the_message_says_where_it_stopped_and_how_to_go_on():
    fault = Interrupted(step=3, steps=9, signal=15, out=Path("runs/a"))
    assert isinstance(fault, SlicekitError)
    assert fault.signal == 15
    assert str(fault) == (
        "stopped at step 3 of 9; the state is saved in runs/a - "
        "run the same command again to go on from there"
    )
