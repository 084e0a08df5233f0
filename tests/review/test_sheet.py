"""What is drawn stands, what was given stays, what is carried fills the rest."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.errors import LabelError, ShapeError
from slicekit.inference.organ_track import Provenance
from slicekit.labels import LabelSet
from slicekit.review.sheet import Answer, Origin, Piece, Sheet

NAMES = LabelSet({"liver": 1, "spleen": 2})


def sheet(given: np.ndarray | None = None) -> Sheet:
    return Sheet((4, 5, 6), NAMES, given)


def plane(**ids: slice) -> np.ndarray:
    made = np.zeros((5, 6), np.uint8)
    for name, rows in ids.items():
        made[rows] = NAMES.ids[name]
    return made


def answer(labels: np.ndarray, *carried: int) -> Answer:
    z = len(labels)
    origin = {n: np.full(z, Origin.PROPAGATED, np.uint8) for n in carried}
    return Answer(labels, origin, {n: np.full(z, 0.5, np.float32) for n in carried})


def test_origins_are_numbered_as_in_a_session() -> None:
    assert {one.name: one.value for one in Provenance}.items() <= Origin.__members__.items()


def test_a_drawn_slice_is_shown_counted_and_told_as_changed() -> None:
    made = sheet()
    seen = made.revision
    made.put(2, plane(liver=slice(0, 2)), {1})
    assert made.voxels == {1: 12, 2: 0}
    assert made.changed_since(seen) == [2]
    assert made.origin_of(1).tolist() == [0, 0, Origin.DRAWN, 0]
    assert not made.is_empty(2) and made.is_empty(1)


def test_a_drawing_that_is_taken_back_leaves_no_guide() -> None:
    made = sheet()
    made.put(2, plane(liver=slice(0, 2)), {1})
    made.put(2, plane(), set())
    assert made.drawn == {}
    assert made.origin_of(1).tolist() == [0, 0, 0, 0]
    assert made.voxels[1] == 0


def test_an_organ_may_be_said_not_to_be_there() -> None:
    made = sheet()
    made.put(3, plane(), {1})
    assert made.drawn_on(3) == (1,)
    assert not made.drawn[1][3].any()


@pytest.mark.parametrize(
    ("z", "ids", "drawn", "kind", "words"),
    [
        (4, 0, set(), ShapeError, "from 0 to 3"),
        (-1, 0, set(), ShapeError, "from 0 to 3"),
        (0, 7, set(), LabelError, "no organ has the id 7"),
        (0, 0, {9}, LabelError, "no organ has the id 9"),
        (0, 0, {0}, LabelError, "no organ has the id 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    z: int, ids: int, drawn: set[int], kind: type[Exception], words: str
) -> None:
    made = sheet()
    with pytest.raises(kind, match=words):
        made.put(z, np.full((5, 6), ids, np.uint8), drawn)
    assert made.revision == 1


def test_what_is_carried_goes_around_what_is_drawn_and_what_was_given() -> None:
    given = np.zeros((4, 5, 6), np.uint8)
    given[:, 0] = 2
    made = sheet(given)
    drawn = plane(liver=slice(3, 4))
    drawn[0] = 2
    made.put(1, drawn, {1})
    changed = made.take(answer(np.ones((4, 5, 6), np.uint8), 1))
    assert changed == [0, 2, 3], "slice 1 was drawn whole"
    assert (made.labels[:, 0] == 2).all(), "the spleen was given and nobody touched it"
    assert (made.labels[2, 1:] == 1).all()
    assert set(np.flatnonzero((made.labels[1] == 1).any(axis=1))) == {3}, "drawn as it was drawn"


def test_what_is_drawn_during_a_propagation_stands() -> None:
    made = sheet()
    made.put(0, plane(liver=slice(0, 5)), {1})
    late = plane(spleen=slice(0, 5))
    made.put(2, late, {2})
    made.take(answer(np.ones((4, 5, 6), np.uint8), 1))
    assert (made.labels[2] == 2).all()
    assert made.origin_of(2)[2] == Origin.DRAWN


def test_given_labels_of_an_organ_that_was_not_carried_stay() -> None:
    given = np.zeros((4, 5, 6), np.uint8)
    given[:, 0] = 2
    made = sheet(given)
    made.put(3, plane(spleen=slice(1, 2)), {2})
    made.take(answer(np.zeros((4, 5, 6), np.uint8), 1))
    assert (made.labels[:3, 0] == 2).all()
    assert set(np.flatnonzero((made.labels[3] == 2).any(axis=1))) == {1}


def test_given_labels_are_told_apart_from_nothing() -> None:
    given = np.zeros((4, 5, 6), np.uint8)
    given[1] = 1
    made = sheet(given)
    assert made.origin_of(1).tolist() == [0, Origin.GIVEN, 0, 0]
    assert made.origin_of(2).tolist() == [0, 0, 0, 0]


def test_doubt_is_gone_where_somebody_drew() -> None:
    made = sheet()
    made.take(answer(np.ones((4, 5, 6), np.uint8), 1))
    made.put(1, plane(liver=slice(0, 1)), {1})
    assert made.doubt_of(1).tolist() == [0.5, 0.0, 0.5, 0.5]


def test_an_id_above_255_widens_the_labels_and_keeps_them() -> None:
    made = sheet()
    made.put(0, plane(liver=slice(0, 2)), {1})
    made.rename(LabelSet({**NAMES.ids, "odd": 300}))
    made.put(1, np.full((5, 6), 300, np.uint16), {300})
    assert made.labels.dtype == np.uint16
    assert made.voxels == {1: 12, 2: 0, 300: 30}


def test_an_organ_cannot_change_its_id() -> None:
    with pytest.raises(LabelError, match="keep their ids"):
        sheet().rename(LabelSet({"liver": 2, "spleen": 1}))


def test_a_piece_is_shown_at_once_and_takes_nothing_from_what_is_there() -> None:
    made = sheet()
    made.put(1, plane(liver=slice(0, 2)), {1})
    made.put(2, plane(spleen=slice(1, 2)), {2})
    mask = plane(liver=slice(0, 3)) == 1
    for z in (1, 2, 3):
        made.show(Piece(1, z, mask, Origin.PROPAGATED, 0.25))
    assert (made.labels[1] == plane(liver=slice(0, 2))).all(), "drawn"
    assert (made.labels[2] == plane(liver=slice(0, 3)) * (1 - plane(liver=slice(1, 2)))
            + plane(spleen=slice(1, 2))).all()  # fmt: skip
    assert made.origin_of(1).tolist() == [0, Origin.DRAWN, Origin.PROPAGATED, Origin.PROPAGATED]
    assert made.doubt_of(1).tolist() == [0, 0, 0.25, 0.25]
    made.show(Piece(1, 3, np.zeros((5, 6), bool), Origin.UNSEEN, 0.0))
    assert made.is_empty(3) and made.origin_of(1)[3] == Origin.UNSEEN


def test_going_back_forgets_what_was_drawn_and_carried_since() -> None:
    made = sheet()
    made.put(1, plane(liver=slice(0, 2)), {1})
    before = made.labels.copy()
    seen = made.put_at(1)
    made.put(3, plane(spleen=slice(0, 2)), {2})
    made.show(Piece(1, 2, plane(liver=slice(0, 3)) == 1, Origin.PROPAGATED, 0.25))
    made.put_back(before, {1: {1: before[1] == 1}})
    assert (made.labels == before).all() and made.drawn_on(3) == ()
    assert made.origin_of(1).tolist() == [0, Origin.DRAWN, 0, 0]
    assert made.put_at(1) > seen and made.put_at(0) == 0
