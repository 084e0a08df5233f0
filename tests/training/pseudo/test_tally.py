"""Organs are counted where they were found."""

from __future__ import annotations

from slicekit.labels import LabelSet
from slicekit.training.pseudo import Judgement
from slicekit.training.pseudo.tally import tally


def test_accepted_ones_are_told_of_found_ones():
    def one(accepted, absent=False):
        return Judgement("any", accepted, absent, ())

    judgements = {
        "a": {"liver": one(True), "spleen": one(False), "aorta": one(True, absent=True)},
        "b": {"liver": one(False), "spleen": one(False), "aorta": one(False, absent=True)},
    }
    counts = tally(judgements, LabelSet({"spleen": 1, "liver": 2, "aorta": 3}))
    assert {organ: tuple(count) for organ, count in counts.items()} == {
        "spleen": (0, 2), "liver": (1, 2), "aorta": (0, 0)
    }  # fmt: skip
    assert [str(count) for count in counts.values()] == [
        "0 of 2 accepted", "1 of 2 accepted", "not found in any scan"
    ]  # fmt: skip
