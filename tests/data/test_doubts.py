"""What a run cannot learn, or would be scored on too well, is told before it starts."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from slicekit.data.doubts import expect_no_leak, tell_doubles, tell_gaps
from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError, DataWarning
from slicekit.labels import LabelSet

ORGANS = LabelSet({"liver": 1, "spleen": 2, "aorta": 3})


def scan(name, digest="", *, holds=(1, 2, 3), known=None):
    labels = np.zeros((3, 2, 2), np.uint8)
    labels[1].flat[: len(holds)] = holds
    return CachedScan(name, np.zeros((3, 2, 2), np.int16), labels, 1.0, known, digest)


def said(labelled):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tell_gaps(labelled, ORGANS)
    return [str(one.message) for one in told]


def test_scans_that_are_the_same_may_not_be_held_out_and_learned_from():
    held = [scan("h", "x"), scan("i", "y")]
    expect_no_leak(held, [scan("a", "z")], [])
    with pytest.raises(DatasetError) as caught:
        expect_no_leak(held, [scan("a", "x"), scan("b", "z")], [scan("c", "y")])
    assert "trained on at once: a is h, c is i, voxel by voxel" in str(caught.value)
    expect_no_leak([scan("h")], [scan("a")])  # nobody looked
    expect_no_leak([], [scan("a", "x")])


def test_each_double_in_a_group_is_told_once():
    group = [scan(name, digest) for name, digest in zip("abcde", "xyxyx", strict=True)]
    with pytest.warns(DataWarning) as told:
        tell_doubles(group, [scan("f", "x")])
    assert [str(one.message).split(" are ")[0] for one in told] == ["a and c and e", "b and d"]
    assert "counts 3 times" in str(told[0].message)
    tell_doubles(group[:2], group[2:4], [scan("g"), scan("h")])


def test_labels_of_everything_raise_no_doubt():
    assert said([scan("a"), scan("b")]) == []
    half = [scan("a", holds=(1,), known=frozenset({1})), scan("b", holds=(2, 3))]
    assert said(half) == []


def test_an_organ_nobody_annotated_is_told_apart_from_one_that_nobody_has():
    known = frozenset({1, 2})
    told = said([scan(name, holds=(1,), known=known) for name in "ab"])
    assert len(told) == 2
    assert told[0].startswith("nobody annotated aorta on any of 2 labelled scans")
    assert told[1].startswith("none of 2 labelled scans holds spleen")


def test_organs_on_slices_that_nobody_annotated_do_not_count():
    blind = [replace(scan(name), labels=np.full((3, 2, 2), 255, np.uint8)) for name in "ab"]
    (told,) = said(blind)
    assert told.startswith("none of 2 labelled scans holds liver, spleen, aorta")


def test_a_single_labelled_scan_is_told():
    (told,) = said([scan("only")])
    assert "only one labelled scan, only, to learn from" in told
