"""A spacing for pictures that know none."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from slicekit.data.scale import BODY_WIDTH_MM, SLICE_MM, with_likely_spacing
from slicekit.errors import DataWarning
from slicekit.io import FolderSource
from slicekit.recipes import InputRecipe
from slicekit.volume import Volume

CT = InputRecipe(windows="ct-body", spacing_mm=2.0)


def body(*, known: bool) -> Volume:
    """A body of 100 pixels from side to side, in a picture of 160."""
    array = np.full((3, 128, 160), -1000, dtype=np.int16)
    array[:, 30:100, 30:130] = 40
    source = FolderSource(path=".", files=(), numbers=None, gray_range=(0, 1), spacing_known=known)
    return Volume(array, np.diag([1.0, -1.0, -1.0, 1.0]), source)


def test_the_body_becomes_as_wide_as_an_adult() -> None:
    with pytest.warns(DataWarning, match="--spacing"):
        guessed = with_likely_spacing(body(known=False), CT)
    step_z, step_y, step_x = guessed.spacing_mm
    assert step_z == SLICE_MM
    assert step_y == step_x
    assert 100 * step_x == pytest.approx(BODY_WIDTH_MM, rel=0.15)
    assert np.array_equal(np.sign(guessed.affine), np.sign(body(known=False).affine))


def test_what_is_known_is_kept() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = body(known=True)
        assert with_likely_spacing(said, CT) is said
        plain = replace(said, source=None)
        assert with_likely_spacing(plain, CT) is plain
