"""Warnings about data are noted and shown as ever."""

from __future__ import annotations

import warnings

import pytest

from slicekit.errors import DataWarning
from slicekit.report.hearing import hearing


def test_what_is_said_of_data_is_noted_once_and_still_shown() -> None:
    with pytest.warns(UserWarning) as shown, hearing() as heard:
        for _ in range(2):
            warnings.warn("odd", DataWarning, stacklevel=1)
        warnings.warn("of a library", UserWarning, stacklevel=1)
        assert heard == ["odd"]
    assert [str(one.message) for one in shown] == ["odd", "odd", "of a library"]


def test_nothing_is_noted_after_the_block() -> None:
    with hearing() as heard:
        pass
    with pytest.warns(DataWarning):
        warnings.warn("later", DataWarning, stacklevel=1)
    assert heard == []
