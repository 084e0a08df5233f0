"""Facts come back as they were written, or not at all."""

from __future__ import annotations

import json

import pytest

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import WriteError
from slicekit.training.pseudo import measure_facts
from slicekit.training.pseudo.facts_file import read_facts, write_facts


@pytest.fixture(scope="module")
def facts(patient):
    """Of a patient; what was not measured is None."""
    return measure_facts(
        patient,
        PHANTOM_LABELS,
        members=[patient.array],
        losses={"liver": 0.25},
        body=(0, 64, 0, 64),
    )


def test_facts_come_back(facts, tmp_path):
    write_facts(tmp_path / "new" / "a.json", facts, made_by="me")
    assert read_facts(tmp_path / "new" / "a.json", made_by="me") == facts
    assert list(read_facts(tmp_path / "new" / "a.json", made_by="me")) == list(facts)


def test_facts_of_something_else_are_stale(facts, tmp_path):
    write_facts(tmp_path / "a.json", facts, made_by="me")
    assert read_facts(tmp_path / "a.json", made_by="you") is None
    assert read_facts(tmp_path / "b.json", made_by="me") is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-30],
        lambda text: text.replace("slicekit facts 1", "slicekit facts 0"),
        lambda text: text.replace('"voxels"', '"boxels"', 1),
        lambda text: text.replace('"superior"', '"above"'),
        lambda text: "[]",
        lambda text: json.dumps({"kind": "slicekit facts 1", "made_by": "me", "organs": 3}),
        lambda text: "[" * 100_000,
    ],
)
def test_damaged_facts_are_measured_anew(facts, tmp_path, spoil):
    file = tmp_path / "a.json"
    write_facts(file, facts, made_by="me")
    file.write_text(spoil(file.read_text()))
    assert read_facts(file, made_by="me") is None


def test_a_folder_in_the_way_is_told(facts, tmp_path):
    with pytest.raises(WriteError, match="name an ordinary file"):
        write_facts(tmp_path, facts, made_by="me")
