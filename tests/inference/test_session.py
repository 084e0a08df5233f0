"""A session as somebody uses it: draw, carry, look, correct."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slicekit.errors import (
    DataWarning,
    GeometryError,
    LabelError,
    ReadError,
    ShapeError,
    WriteError,
)
from slicekit.inference.interpolate import interpolate
from slicekit.inference.organ_track import Provenance
from slicekit.inference.session import Session
from slicekit.inference.stretch import Task
from slicekit.labels import LabelSet
from slicekit.volume import Volume

SHAPE = (24, 50, 60)
SPACING = (4.0, 1.5, 1.5)


def volume(shape: tuple[int, int, int] = SHAPE) -> Volume:
    affine = np.diag([*SPACING[::-1], 1.0])[:, [2, 1, 0, 3]]
    return Volume(np.zeros(shape, np.int16), affine)


def ball(centre: Sequence[float], radius_mm: float) -> NDArray[np.bool_]:
    grid = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij"
    )
    away = [(axis - c * s) ** 2 for axis, c, s in zip(grid, centre, SPACING, strict=True)]
    return np.asarray(sum(away) <= radius_mm**2)


LIVER = ball((11, 20, 25), 24)
SPLEEN = ball((14, 38, 50), 12)


@pytest.fixture
def session() -> Session:
    made = Session(volume())
    for z in (7, 11, 15):
        made.add_guide(z, LIVER[z], organ="liver")
    for z in (13, 16):
        made.add_guide(z, SPLEEN[z], organ="spleen")
    return made


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, int | None]]:
    """Gaps that were computed, as they are."""
    seen: list[tuple[int | None, int | None]] = []

    def spy(task: Task, **options: Any) -> Any:
        seen.append((task.gap.left, task.gap.right))
        return interpolate(task, **options)

    monkeypatch.setattr("slicekit.inference.session.interpolate", spy)
    return seen


class Spy:
    """A follower that answers nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Task] = []

    def follow(self, tasks: Sequence[Task]) -> Any:
        self.asked += tasks
        return iter((n, []) for n in range(len(tasks)))


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_two_organs_come_out_of_five_drawings(session: Session) -> None:
    labels = session.propagate()
    assert labels.shape == SHAPE
    assert dice(labels.array == session.names.ids["liver"], LIVER) > 0.9
    assert dice(labels.array == session.names.ids["spleen"], SPLEEN) > 0.8


def test_what_was_drawn_comes_back_as_it_was(session: Session) -> None:
    odd = np.zeros(SHAPE[1:], bool)
    odd[3:5, 3:40] = True
    session.add_guide(11, odd, organ="liver")
    labels = session.propagate().array
    assert np.array_equal(labels[11] == 1, odd)


def test_every_slice_says_where_its_mask_comes_from(session: Session) -> None:
    labels = session.propagate()
    states = session.provenance["liver"]
    assert [z for z in range(24) if states[z] == Provenance.DRAWN] == [7, 11, 15]
    for z in range(24):
        shown = bool((labels.array[z] == 1).any())
        assert shown == (states[z] != Provenance.UNSEEN)
    assert Provenance.INTERPOLATED in states
    assert Provenance.PROPAGATED not in states


def test_a_drawn_slice_is_beyond_doubt_and_its_neighbours_less_than_those_afar(
    session: Session,
) -> None:
    session.propagate()
    doubt = session.doubt["liver"]
    assert doubt[[7, 11, 15]].tolist() == [0, 0, 0]
    assert 0 < doubt[10] < doubt[9]


def test_a_correction_walks_the_gaps_beside_it_and_no_other(
    session: Session, walked: list[tuple[int | None, int | None]]
) -> None:
    session.propagate()
    before = session.labels.array
    walked.clear()
    session.add_guide(13, LIVER[13], organ="liver")
    session.propagate()
    assert walked == [(11, 13), (13, 15), (15, None)]  # the tail: it may end sooner now
    changed = np.flatnonzero((session.labels.array != before).any(axis=(1, 2)))
    assert set(changed) <= set(range(11, 24))
    session.remove_guide(13)
    session.propagate()


def test_a_network_walks_the_two_gaps_beside_a_correction(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(session, "follower", spy)
    session.propagate()
    spy.asked.clear()
    session.add_guide(13, LIVER[13], organ="liver")
    session.propagate()
    assert [(task.gap.left, task.gap.right) for task in spy.asked] == [(11, 13), (13, 15)]


def test_taking_a_correction_back_computes_nothing(
    session: Session, walked: list[tuple[int | None, int | None]]
) -> None:
    before = session.propagate().array
    session.add_guide(9, LIVER[9], organ="liver")
    session.propagate()
    walked.clear()
    session.remove_guide(9)
    assert np.array_equal(session.propagate().array, before)
    assert walked == []


def test_a_session_equals_one_that_was_drawn_in_another_order(session: Session) -> None:
    names = LabelSet({"liver": 1, "spleen": 2})
    other = Session(volume(), names=names)
    for z in (16, 13):
        other.add_guide(z, SPLEEN[z], organ="spleen")
    other.propagate()
    for z in (15, 7, 11):
        other.add_guide(z, LIVER[z], organ="liver")
        other.propagate()
    assert np.array_equal(other.labels.array, session.propagate().array)


def test_an_empty_drawing_ends_an_organ(session: Session) -> None:
    session.propagate()
    assert (session.labels.array[17] == 1).any()
    session.add_guide(17, np.zeros(SHAPE[1:]), organ="liver")
    labels = session.propagate().array
    assert not (labels[17:] == 1).any()
    assert (labels[16] == 1).any()


def test_all_drawings_of_an_organ_can_be_taken_back(session: Session) -> None:
    session.propagate()
    for z in (13, 16):
        session.remove_guide(z, organ="spleen")
    labels = session.propagate().array
    assert not (labels == 2).any()
    assert not session.provenance["spleen"].any()


@pytest.mark.parametrize(("axis", "number"), [("y", 1), ("x", 2)])
def test_organs_are_carried_along_any_axis(axis: Any, number: int) -> None:
    session = Session(volume(), axis=axis)
    held = np.flatnonzero(LIVER.any(axis=tuple({0, 1, 2} - {number})))
    for z in (held[4], held[len(held) // 2], held[-5]):
        session.add_guide(int(z), np.take(LIVER, z, axis=number), organ="liver")
    labels = session.propagate()
    assert labels.shape == SHAPE
    assert dice(labels.array == 1, LIVER) > 0.85


def test_nothing_is_answered_outside_of_the_range() -> None:
    session = Session(volume(), z_range=(8, 14))
    session.add_guide(11, LIVER[11], organ="liver")
    labels = session.propagate().array
    assert np.flatnonzero((labels == 1).any(axis=(1, 2))).tolist() == list(range(8, 14))
    with pytest.raises(ShapeError, match="slices go from 8 to 13"):
        session.add_guide(14, LIVER[14], organ="liver")


def test_progress_is_told_gap_by_gap(session: Session) -> None:
    told: list[tuple[int, int]] = []
    session.propagate(lambda done, total: told.append((done, total)))
    assert told == [(n, 7) for n in range(1, 8)]


def test_every_gap_is_seen_when_it_is_shown(session: Session) -> None:
    whole = session.propagate().array
    again = Session(volume())
    for organ, masks in session.guides.items():
        for z, mask in masks.items():
            again.add_guide(z, mask, organ=organ)
    seen = {"liver": set[int](), "spleen": set[int]()}
    for gap in again.carry():
        assert not seen[gap.organ] & set(gap.slices) and 1 <= gap.done <= gap.total
        seen[gap.organ] |= set(gap.slices)
        number = again.names.ids[gap.organ]
        for z in gap.slices:  # more at most, what another organ takes afterwards
            assert not ((whole[z] == number) & ~again.mask_of(z, organ=gap.organ)).any()
    assert seen["liver"] == set(range(SHAPE[0])) - {7, 11, 15}
    assert (again.labels.array == whole).all()
    with pytest.raises(LabelError, match="was never drawn"):
        again.mask_of(3, organ="livr")


def test_what_was_carried_before_an_interruption_is_kept(session: Session) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.propagate(stop)
    kept = session.labels.array
    assert (kept == 1).any()
    whole = session.propagate().array
    assert (whole != 0).sum() > (kept != 0).sum()
    assert not np.array_equal(whole, kept)


def test_an_interrupted_correction_ends_as_an_uninterrupted_one(session: Session) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    session.propagate()
    session.add_guide(9, LIVER[9], organ="liver")
    with pytest.raises(KeyboardInterrupt):
        session.propagate(stop)
    after = session.propagate().array
    other = Session(volume(), names=session.names)
    for organ, masks in session.guides.items():
        for z, mask in masks.items():
            other.add_guide(z, mask, organ=organ)
    assert np.array_equal(after, other.propagate().array)


def test_suggestions_name_undrawn_slices(session: Session) -> None:
    session.propagate()
    found = session.suggest(3)
    assert len(found) == 3
    for one in found:
        assert all(one.z not in session.guides[organ] for organ in one.organs)
        assert one.organs[0] in one.reason


def test_nothing_is_suggested_before_anything_was_carried(session: Session) -> None:
    assert session.suggest(3) == ()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((24, LIVER[0]), ShapeError, "slices go from 0 to 23"),
        ((-1, LIVER[0]), ShapeError, "slices go from 0 to 23"),
        ((1.5, LIVER[0]), ShapeError, "no slice 1.5"),
        ((3, LIVER[0].T), ShapeError, r"mask of slice 3 must be \(50, 60\)"),
    ],
)
def test_a_drawing_that_cannot_be_is_refused(
    session: Session, arguments: tuple[Any, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        session.add_guide(*arguments, organ="liver")


def test_overlapping_drawings_are_refused(session: Session) -> None:
    with pytest.raises(LabelError, match=r"overlaps that of 'liver' by \d+ pixels"):
        session.add_guide(11, LIVER[11], organ="tumour")


def test_an_unknown_organ_is_refused_where_names_were_given() -> None:
    session = Session(volume(), names=LabelSet({"liver": 6}))
    with pytest.raises(LabelError, match="did you mean 'liver'"):
        session.add_guide(3, LIVER[3], organ="lver")


def test_ids_above_255_are_kept() -> None:
    session = Session(volume(), names=LabelSet({"liver": 300}))
    session.add_guide(11, LIVER[11], organ="liver")
    assert set(np.unique(session.propagate().array)) == {0, 300}


def test_nothing_drawn_is_nothing_to_carry(session: Session) -> None:
    empty = Session(volume())
    with pytest.raises(LabelError, match="draw at least one slice"):
        empty.propagate()
    empty.add_guide(3, np.zeros(SHAPE[1:]), organ="liver")
    with pytest.raises(LabelError, match="draw at least one slice"):
        empty.propagate()


def test_removing_what_was_not_drawn_says_what_was(session: Session) -> None:
    with pytest.raises(LabelError, match=r"spleen is drawn on slice 7, but on \[13, 16\]"):
        session.remove_guide(7, organ="spleen")


def test_a_single_slice_has_nowhere_to_carry_to() -> None:
    with pytest.raises(ShapeError, match=r"a single slice along z.*choose another axis"):
        Session(volume((1, 50, 60)))


def test_a_range_outside_of_the_scan_is_refused() -> None:
    with pytest.raises(ShapeError, match="within 0 to 24"):
        Session(volume(), z_range=(4, 30))


def test_an_organ_drawn_on_every_slice_is_told() -> None:
    session = Session(volume(), z_range=(10, 12))
    for z in (10, 11):
        session.add_guide(z, LIVER[z], organ="liver")
    with pytest.warns(DataWarning, match="liver: every slice is drawn"):
        labels = session.propagate()
    assert np.array_equal(labels.array[10] == 1, LIVER[10])


def test_a_session_is_saved_and_gone_on_with(session: Session, tmp_path: Path) -> None:
    session.propagate()
    path = session.save(tmp_path / "work.session")
    again = Session.load(path, session.scan)
    assert np.array_equal(again.labels.array, session.labels.array)
    assert again.names.ids == session.names.ids
    assert {o: sorted(m) for o, m in again.guides.items()} == {
        "liver": [7, 11, 15],
        "spleen": [13, 16],
    }
    assert np.array_equal(again.propagate().array, session.labels.array)
    again.add_guide(20, np.zeros(SHAPE[1:]), organ="a new one")  # names were not fixed
    with pytest.raises(WriteError):
        session.save(path)
    assert session.save(path, overwrite=True) == path


def test_a_session_along_another_axis_comes_back_so(tmp_path: Path) -> None:
    session = Session(volume(), axis="x", z_range=(5, 50), names=LabelSet({"liver": 6}))
    session.add_guide(25, LIVER[:, :, 25], organ="liver")
    session.propagate()
    again = Session.load(session.save(tmp_path / "s"), session.scan)
    assert (again.axis, again.z_range) == ("x", (5, 50))
    assert np.array_equal(again.labels.array, session.labels.array)
    with pytest.raises(LabelError, match="unknown organ"):
        again.add_guide(26, LIVER[:, :, 26], organ="spleen")


def test_a_session_of_another_scan_is_refused(session: Session, tmp_path: Path) -> None:
    path = session.save(tmp_path / "work.session")
    with pytest.raises(GeometryError, match=r"drawn on a scan of \(24, 50, 60\)"):
        Session.load(path, volume((24, 50, 61)))
    moved = Volume(session.scan.array, session.scan.affine + np.eye(4)[:, [3, 0, 1, 2]] * 0)
    shifted = np.array(moved.affine)
    shifted[0, 3] += 10
    with pytest.raises(GeometryError, match="placed elsewhere"):
        Session.load(path, Volume(session.scan.array, shifted))


@pytest.mark.parametrize("damage", [b"", b"no session", None])
def test_a_file_that_is_no_session_is_refused(
    session: Session, tmp_path: Path, damage: bytes | None
) -> None:
    path = session.save(tmp_path / "work.session")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(ReadError, match="no saved session"):
        Session.load(path, session.scan)
    with pytest.raises(ReadError, match="does not exist"):
        Session.load(tmp_path / "other", session.scan)


def test_a_session_holds_no_pickle(session: Session, tmp_path: Path) -> None:
    path = session.save(tmp_path / "work.session")
    with np.load(path, allow_pickle=False) as held:
        assert set(held) == {"about", "masks", "labels", "affine"}
        assert all(held[key].dtype.kind in "Uubif" for key in held)


def test_a_small_memo_changes_nothing(
    session: Session, walked: list[tuple[int | None, int | None]]
) -> None:
    small = Session(volume(), names=session.names, memo_bytes=2)
    for organ, masks in session.guides.items():
        for z, mask in masks.items():
            small.add_guide(z, mask, organ=organ)
    small.propagate()
    small.add_guide(9, LIVER[9], organ="liver")
    session.add_guide(9, LIVER[9], organ="liver")
    assert np.array_equal(small.propagate().array, session.propagate().array)


def test_guides_carry_only_their_own_organ(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(session, "follower", spy)
    session.propagate()
    ends = {tuple(sorted(task.guides)) for task in spy.asked}
    assert ends == {(7,), (7, 11), (11, 15), (15,), (13,), (13, 16), (16,)}


def test_a_guide_taken_back_after_an_interruption_leaves_nothing() -> None:
    session = Session(volume(), names=LabelSet({"spleen": 1, "liver": 2}))
    for z in (13, 16):
        session.add_guide(z, SPLEEN[z], organ="spleen")
    session.propagate()
    session.add_guide(11, LIVER[11], organ="liver")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.propagate(stop)
    session.remove_guide(11, organ="liver")
    assert not (session.propagate().array == 2).any()
    assert not session.provenance["liver"].any()


def test_the_last_guide_taken_back_empties_the_labels(session: Session) -> None:
    session.propagate()
    for organ, zs in (("liver", (7, 11, 15)), ("spleen", (13, 16))):
        for z in zs:
            session.remove_guide(z, organ=organ)
    with pytest.raises(LabelError, match="nothing is drawn yet"):
        session.propagate()
    assert not session.labels.array.any()
    assert session.suggest() == ()


def test_an_organ_that_was_lost_between_two_drawings_is_suggested() -> None:
    session = Session(volume())
    for z, mask in ((5, ball((5, 10, 10), 8)), (15, ball((15, 40, 50), 8))):
        session.add_guide(z, mask[z], organ="vessel")
    labels = session.propagate().array
    assert not labels[10].any()
    (found,) = session.suggest(1)
    assert 5 < found.z < 15
    assert session.doubt["vessel"][10] == 1.0


def test_neighbouring_drawings_do_not_undo_one_another() -> None:
    alone, both = Session(volume()), Session(volume())
    alone.add_guide(11, LIVER[11], organ="liver")
    for z in (11, 12):
        both.add_guide(z, LIVER[z], organ="liver")
    for session in (alone, both):
        assert (session.propagate().array == 1).any(axis=(1, 2)).sum() > 5


def test_numpy_numbers_are_as_good_as_others(tmp_path: Path) -> None:
    first, *_, last = np.flatnonzero(LIVER.any(axis=(1, 2)))
    session = Session(volume(), z_range=(first, last + 1))
    session.add_guide(first + 3, LIVER[first + 3].astype(float), organ="liver")
    session.propagate()
    assert Session.load(session.save(tmp_path / "s"), session.scan).z_range == (first, last + 1)


def test_what_is_no_number_is_not_drawn_and_an_organ_has_a_name() -> None:
    session = Session(volume())
    mask = np.where(LIVER[11], 1.0, np.nan)
    session.add_guide(11, mask, organ="liver")
    assert np.array_equal(session.guides["liver"][11], LIVER[11])
    with pytest.raises(LabelError, match="needs a name"):
        session.add_guide(12, LIVER[12], organ=" ")


def test_flipped_bits_are_found(session: Session, tmp_path: Path) -> None:
    path = session.save(tmp_path / "work.session")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), size=60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            Session.load(path, session.scan)
        except (ReadError, GeometryError, LabelError, ShapeError):
            continue
