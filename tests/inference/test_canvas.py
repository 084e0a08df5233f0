"""What a voxel becomes when several objects claim it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.inference.canvas import Canvas

SHAPE = (3, 4, 5)


@dataclass(frozen=True)
class Stamp:
    """One probability over a rectangle of a slice."""

    z: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    likely: int

    def paste(self, shape):
        where = slice(*self.rows), slice(*self.columns)
        return where, np.full(np.zeros(shape)[where].shape, self.likely, np.uint8)


def stamp(likely, *, z=0, rows=(0, 4), columns=(0, 5)):
    return Stamp(z, rows, columns, likely)


def ends(size):
    return st.tuples(st.integers(0, size), st.integers(0, size)).map(lambda p: tuple(sorted(p)))


STAMPS = st.builds(
    Stamp,
    st.integers(0, 2),
    ends(4),
    ends(5),
    st.sampled_from([0, 127, 128, 200, 254, 255]),
)
CLAIMS = st.lists(st.tuples(st.sampled_from([1, 2, 9, 255, 256, 300]), STAMPS), max_size=8)


@given(CLAIMS, st.randoms(use_true_random=False), st.booleans())
@settings(deadline=None)
def test_the_order_in_which_pieces_come_does_not_matter(claims, random, drawn):
    other = list(claims)
    random.shuffle(other)
    results = []
    for order in (claims, other):
        canvas = Canvas(SHAPE)
        if drawn:
            canvas.draw(1, 7, np.eye(4, 5, dtype=bool))
        for number, piece in order:
            canvas.paint(number, piece)
        results.append(canvas.labels)
    assert results[0].dtype == results[1].dtype
    assert np.array_equal(*results)


@given(CLAIMS)
@settings(deadline=None)
def test_every_voxel_has_the_likeliest_object_that_is_more_likely_than_not(claims):
    canvas, wanted = Canvas(SHAPE), np.zeros(SHAPE, int)
    for number, piece in claims:
        canvas.paint(number, piece)
    for place in np.ndindex(*SHAPE):
        z, y, x = place
        over = [
            (-min(piece.likely, 254), number)
            for number, piece in claims
            if piece.z == z
            and y in range(*piece.rows)
            and x in range(*piece.columns)
            and piece.likely >= 128
        ]
        wanted[place] = min(over)[1] if over else 0
    assert np.array_equal(canvas.labels, wanted)


@pytest.mark.parametrize("draw_first", [True, False])
@pytest.mark.parametrize("number", [1, 9])
def test_what_was_drawn_stands_whatever_is_claimed(draw_first, number):
    canvas, mask = Canvas(SHAPE), np.eye(4, 5, dtype=bool)
    if draw_first:
        canvas.draw(0, 5, mask)
    canvas.paint(number, stamp(255))
    if not draw_first:
        canvas.draw(0, 5, mask)
    assert (canvas.labels[0][mask] == 5).all()
    assert (canvas.labels[0][~mask] == number).all()
    assert not canvas.labels[1:].any()


def test_one_half_is_enough_and_less_is_not():
    canvas = Canvas(SHAPE)
    assert canvas.paint(1, stamp(127)) == 0
    assert not canvas.labels.any()
    assert canvas.paint(1, stamp(128, columns=(0, 2))) == 8
    assert np.count_nonzero(canvas.labels) == 8


def test_the_lower_id_of_equals_has_the_voxel():
    for order in ((2, 8), (8, 2)):
        canvas = Canvas(SHAPE)
        for number in order:
            canvas.paint(number, stamp(180))
        assert (canvas.labels[0] == 2).all()


def test_painting_tells_its_pixels_hidden_ones_included():
    canvas = Canvas(SHAPE)
    assert canvas.paint(1, stamp(250)) == 20
    assert canvas.paint(2, stamp(200, rows=(0, 2))) == 10  # hidden behind the first
    assert (canvas.labels[0] == 1).all()
    assert canvas.paint(3, stamp(250, rows=(2, 2))) == 0


@pytest.mark.parametrize("how", ["draw", "paint"])
def test_an_id_above_255_keeps_what_was_there(how):
    canvas = Canvas(SHAPE)
    assert canvas.labels.dtype == np.uint8
    canvas.paint(255, stamp(200, rows=(0, 2)))
    assert canvas.labels.dtype == np.uint8
    if how == "draw":
        mask = np.zeros(SHAPE[1:], bool)
        mask[2:] = True
        canvas.draw(0, 300, mask)
    else:
        canvas.paint(300, stamp(200, rows=(2, 4)))
    assert canvas.labels.dtype == np.uint16
    assert (canvas.labels[0, :2] == 255).all() and (canvas.labels[0, 2:] == 300).all()


def test_a_cleared_slice_is_as_new_and_the_others_stay():
    canvas = Canvas(SHAPE)
    for z in range(3):
        canvas.draw(z, 4, np.ones(SHAPE[1:], bool))
    canvas.clear([0, 2])
    assert not canvas.labels[[0, 2]].any()
    assert (canvas.labels[1] == 4).all()
    canvas.paint(6, stamp(128))
    assert (canvas.labels[0] == 6).all()  # what was drawn there is forgotten


def test_labels_that_were_handed_out_do_not_change():
    canvas = Canvas(SHAPE)
    canvas.draw(0, 3, np.ones(SHAPE[1:], bool))
    before = canvas.labels
    assert not before.flags.writeable
    canvas.paint(4, stamp(200, z=1))
    canvas.clear([0])
    assert (before[0] == 3).all() and not before[1].any()
    assert (canvas.labels[1] == 4).all() and not canvas.labels[0].any()


def test_labels_nobody_asked_for_are_not_copied():
    canvas = Canvas(SHAPE)
    once = canvas.labels
    canvas.paint(4, stamp(200))
    kept = canvas._labels
    canvas.paint(5, stamp(220))
    assert canvas._labels is kept and not np.shares_memory(once, kept)
    assert np.shares_memory(canvas.labels, kept)
