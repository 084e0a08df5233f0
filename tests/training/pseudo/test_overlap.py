"""The Dice of label maps is that of their masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slicekit.errors import LabelError, ShapeError
from slicekit.labels import LabelSet
from slicekit.metrics import dice
from slicekit.training.pseudo.overlap import organ_dices

NAMES = LabelSet({"liver": 1, "spleen": 2, "colon": 5})
MAPS = arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 3, 5, 255]))


@given(MAPS, MAPS)
def test_every_organ_has_the_dice_of_its_masks(one, other):
    found = organ_dices(one, other, NAMES)
    for name, number in NAMES.ids.items():
        assert found[name] == pytest.approx(dice(one == number, other == number))


@given(MAPS, MAPS)
def test_ignored_voxels_count_in_neither(one, other):
    known = other != 255
    found = organ_dices(one, other, NAMES, ignore_id=255)
    for name, number in NAMES.ids.items():
        assert found[name] == pytest.approx(dice((one == number) & known, other == number))


def test_types_may_differ():
    one = np.array([[[1, 0], [300, 2]]], np.int64)
    other = np.array([[[True, False], [False, False]]])
    assert organ_dices(one, other, NAMES) == {"liver": 1.0, "spleen": 0.0, "colon": 1.0}


def test_what_is_no_label_map_is_refused():
    good = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(ShapeError, match="other"):
        organ_dices(good, good[1:], NAMES)
    with pytest.raises(ShapeError, match="one"):
        organ_dices(good[0], good[0], NAMES)
    with pytest.raises(LabelError, match="whole numbers"):
        organ_dices(good, good.astype(np.float32), NAMES)
    with pytest.raises(LabelError, match="from 0, got -1"):
        organ_dices(good.astype(np.int8) - 1, good, NAMES)
