"""Versions of the saved labels: the last twenty, with what was drawn in them."""

from __future__ import annotations

import pytest
from review_sheets import NAMES, sheet_of

from slicekit.errors import ReadError
from slicekit.io import read_labels
from slicekit.review.cases import ReviewCase
from slicekit.review.faults import UnknownCaseError
from slicekit.review.store import snapshot
from slicekit.review.versions import keep_present, listed, read_version, save_labels, versions
from slicekit.volume import Volume


def test_the_last_twenty_versions_are_kept(case: ReviewCase, image: Volume) -> None:
    for z in [*range(1, 15), *range(1, 10)]:
        sheet = sheet_of(image, z)
        save_labels(case, image, snapshot(sheet))
    kept = versions(case)
    assert [one.number for one in kept] == list(range(4, 24))
    assert {file.name for file in case.versions.iterdir()} == {
        f"{n:04}.{ending}" for n in range(4, 24) for ending in ("json", "nii.gz")
    }
    newest = read_labels(kept[-1].labels, like=image).array
    assert (newest == sheet.labels).all()
    assert case.labels.read_bytes() == kept[-1].labels.read_bytes()


def test_equal_labels_make_no_new_version(case: ReviewCase, image: Volume) -> None:
    held = snapshot(sheet_of(image, 3))
    assert {save_labels(case, image, held).number for _ in range(3)} == {1}


def test_a_version_is_read_with_what_was_drawn(case: ReviewCase, image: Volume) -> None:
    made = sheet_of(image, 3, 7)
    save_labels(case, image, snapshot(made))
    again = read_version(case, image, 1)
    assert (again.labels == made.labels).all() and again.names == NAMES
    assert sorted(again.drawn[1]) == [3, 7]
    assert (again.drawn[1][7] == made.drawn[1][7]).all()
    (told,) = listed(case)
    assert told["volumes_ml"]["liver"] == pytest.approx(10 * 64 * image.voxel_ml)
    assert (told["number"], told["drawn"], told["why"]) == (1, 2, "saved")


def test_the_version_that_comes_back_is_not_the_one_that_makes_room(
    case: ReviewCase, image: Volume
) -> None:
    for z in (1, 2, 3):
        save_labels(case, image, snapshot(sheet_of(image, z)), most=3)
    kept = keep_present(case, image, snapshot(sheet_of(image, 4)), instead=1, most=3)
    assert [one.number for one in versions(case)] == [1, 3, kept.number]
    assert (read_labels(case.labels, like=image).array == sheet_of(image, 3).labels).all()


def test_what_is_no_version_is_refused(case: ReviewCase, image: Volume) -> None:
    save_labels(case, image, snapshot(sheet_of(image, 3)))
    with pytest.raises(UnknownCaseError, match="not kept any more"):
        read_version(case, image, 2)
    (one,) = versions(case)
    organs = '{"labels": {"liver": 1}, "drawn": '
    for content in (
        '{"labels": {"spleen": 2}, "drawn": {}}', "{}", "[]", "{",
        organs + "[3]}", organs + '{"liver": 3}}', organs + '{"liver": [-1]}}',
        organs + '{"liver": ["3"]}}', organs + '{"liver": [99]}}', organs + '{"spleen": [3]}}',
    ):  # fmt: skip
        one.note.write_text(content)
        with pytest.raises(ReadError, match="with --labels"):
            read_version(case, image, 1)
        listed(case)
    one.note.unlink()
    with pytest.raises(ReadError, match="with --labels"):
        read_version(case, image, 1)
    assert [told["complete"] for told in listed(case)] == [False]
