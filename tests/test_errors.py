"""The family of faults is the one drawn in its module."""

from __future__ import annotations

import builtins
import pickle
import re
from pathlib import Path

import pytest

from slicekit import errors
from slicekit.errors import FileError, ReadError, SlicekitError, WriteError


def drawn():
    """Names and, where one stands in brackets, the built-in base, as the docstring draws them."""
    return re.findall(r"^ *[*+-] (\w+)(?:\((\w+)\))?", errors.__doc__, flags=re.MULTILINE)


def test_every_fault_is_drawn_and_every_drawn_one_exists():
    there = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, SlicekitError)
    }
    assert {name for name, _ in drawn()} == there


@pytest.mark.parametrize(("name", "base"), [pair for pair in drawn() if pair[1]])
def test_a_fault_is_also_what_python_would_raise(name, base):
    assert issubclass(getattr(errors, name), getattr(builtins, base))


@pytest.mark.parametrize("kind", [FileError, ReadError, WriteError])
def test_a_file_fault_carries_path_and_cause_through_a_process(kind):
    fault = pickle.loads(pickle.dumps(kind("scan.nii.gz", "is empty; copy it again")))
    assert type(fault) is kind
    assert fault.path == Path("scan.nii.gz")
    assert fault.cause == "is empty; copy it again"
    assert str(fault) == "scan.nii.gz: is empty; copy it again"


def test_a_data_warning_is_no_fault():
    assert issubclass(errors.DataWarning, UserWarning)
    assert not issubclass(errors.DataWarning, SlicekitError)
