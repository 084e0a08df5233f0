"""annotations.json says what somebody annotated, or is refused with everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.data.annotations import Annotation, parse_annotations
from slicekit.data.cases import find_cases
from slicekit.errors import DatasetError, ReadError
from slicekit.labels import LabelSet

ORGANS = LabelSet({"liver": 1, "spleen": 2, "left_kidney": 3})
SOURCE = Path("d/annotations.json")


def parse(content, *, cases=("a", "b", "u"), labelled=("a", "b")):
    return parse_annotations(content, source=SOURCE, cases=cases, labelled=labelled, organs=ORGANS)


def test_either_key_may_be_missing_and_then_means_all():
    found = parse(
        {
            "a": {"labels_present": ["spleen", "liver"], "annotated_slices": [20, 0, 10]},
            "b": {"annotated_slices": [3]},
            "u": {},
        }
    )
    assert found == {
        "a": Annotation(frozenset({"liver", "spleen"}), (0, 10, 20)),
        "b": Annotation(None, (3,)),
        "u": Annotation(None, None),
    }
    assert not any(one.is_empty for one in found.values())
    assert parse({"a": {"labels_present": []}})["a"].is_empty
    assert parse({"u": {"annotated_slices": []}})["u"].is_empty


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"aa": {}}, "there is no case 'aa' in imagesTr; did you mean 'a'?"),
        ({"../a": {}}, "there is no case '../a' in imagesTr"),
        ({"a": ["liver"]}, "a: must be an object with labels_present and annotated_slices"),
        ({"a": {"label_present": []}}, "unknown key 'label_present'; did you mean 'labels_present"),
        ({"a": {"labels_present": "liver"}}, "labels_present must be a list of organ names, got"),
        ({"a": {"labels_present": ["lver"]}}, "unknown organ 'lver'; did you mean 'liver'?"),
        ({"a": {"labels_present": [1]}}, "names an unknown organ 1; There are: "),
        ({"a": {"labels_present": [["liver"]]}}, r"names an unknown organ \['liver'\]"),
        ({"a": {"labels_present": ["liver"] * 2}}, "labels_present names 'liver' twice"),
        ({"a": {"annotated_slices": 4}}, "annotated_slices must be a list of slice numbers, got 4"),
        ({"a": {"annotated_slices": None}}, "annotated_slices must be a list .*, got None"),
        ({"a": {"annotated_slices": [1, -2, 0.5, True, "3"]}}, "got -2, 0.5, True, '3'"),
        ({"a": {"annotated_slices": [7, 8, 7]}}, "annotated_slices names 7 twice; keep one"),
        ({"u": {"labels_present": ["liver"]}}, "u: has no file in labelsTr; put its labels there"),
        ({"u": {"annotated_slices": [1]}}, "u: has no file in labelsTr"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_and_cure(content, said):
    with pytest.raises(DatasetError, match=f"^{SOURCE}: .*{said}"):
        parse(content)


def test_every_fault_is_listed():
    with pytest.raises(DatasetError) as caught:
        parse({"z": {}, "a": {"labels_present": ["lung"], "annotated_slices": [-1]}, "b": 3})
    said = str(caught.value).splitlines()
    assert said[0] == f"{SOURCE} has 4 faults:"
    assert [line[:12] for line in said[1:]] == [
        "- there is n", "- a: labels_", "- a: annotat", "- b: must be",
    ]  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.sampled_from(["a", "liver", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["labels_present", "annotated_slices", "x"]), inner)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "u", "z"]), JSON))
def test_anything_is_read_or_refused(content):
    try:
        found = parse(content)
    except DatasetError:
        return
    assert set(found) == set(content)
    for one in found.values():
        assert one.labels_present is None or one.labels_present <= set(ORGANS.names)
        assert one.annotated_slices is None or all(z >= 0 for z in one.annotated_slices)


@pytest.fixture
def folder(tmp_path):
    """A dataset of empty files: two labelled cases and one without labels."""
    for place, names in (("imagesTr", "abu"), ("labelsTr", "ab")):
        (tmp_path / place).mkdir()
        for name in names:
            (tmp_path / place / f"{name}.nii.gz").touch()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": dict(ORGANS.ids)}))
    return tmp_path


def test_cases_carry_what_was_annotated(folder):
    (folder / "annotations.json").write_text(
        json.dumps({"a": {"labels_present": ["liver"], "annotated_slices": [0, 9]}})
    )
    dataset = find_cases(folder)
    a, b, u = dataset.cases
    assert (a.labels_present, a.annotated_slices) == (frozenset({"liver"}), (0, 9))
    assert (b.labels_present, b.annotated_slices) == (None, None)
    assert [case.is_partial for case in (a, b, u)] == [True, False, False]
    assert dict(a.organs.ids) == dict(ORGANS.ids)
    assert "3 scans (2 labelled, 1 of them in part, 1 unlabelled)" in str(dataset)


@pytest.mark.parametrize("entry", [{"labels_present": []}, {"annotated_slices": []}])
def test_nothing_annotated_makes_an_unlabelled_case(folder, entry):
    (folder / "annotations.json").write_text(json.dumps({"a": entry}))
    dataset = find_cases(folder)
    assert dataset.cases[0].labels is None
    assert not dataset.cases[0].is_partial
    assert "1 labelled, 2 unlabelled" in str(dataset)


def test_the_file_itself_may_be_at_fault(folder):
    path = folder / "annotations.json"
    path.write_text('{"a": {"labels_present": []}, "a": {}}')
    with pytest.raises(ReadError, match=r"annotations\.json: is not readable JSON .*'a' twice"):
        find_cases(folder)
    path.write_text("[]")
    with pytest.raises(DatasetError, match="must hold a JSON object, got list"):
        find_cases(folder)
