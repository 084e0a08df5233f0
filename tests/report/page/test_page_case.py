"""What a case's page says, and what it says where files are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slicekit.errors import ReadError
from slicekit.report.page.case_page import case_page
from slicekit.report.page.parts import Facts, Gallery, Notes, Table


def test_a_case_shows_picture_organs_guides_and_its_making(batch: Path) -> None:
    page = case_page(batch / "case_0.nii.gz")
    assert (page.title, page.headline) == ("case_0", "2 organs found.")
    picture, organs, plot, guides, how = page.parts
    assert isinstance(picture, Gallery)
    assert isinstance(organs, Table)
    assert [cell.text for cell in organs.rows[0]][:6] == ["liver", "8", "400", "1", "", "40"]
    assert plot.title == "Organ by organ, drawn"
    assert isinstance(guides, Table)
    assert [cell.text for cell in guides.rows[0]] == ["2", "2", "liver", "<i>why</i>"]
    assert isinstance(how, Facts)
    facts = dict(how.facts)
    assert facts["made"] == "2024-01-01T00:00:00"
    assert facts["seconds"] == "read 0.5, reference 1.0"
    assert facts["options"] == "as the recipe says"


def test_the_picture_beside_is_taken_until_the_labels_change(batch: Path) -> None:
    (batch / "case_0_preview.png").write_bytes(b"as it was drawn")

    def shown() -> bytes:
        first = case_page(batch / "case_0.nii.gz").parts[0]
        assert isinstance(first, Gallery)
        return first.pictures[0].png

    assert shown() == b"as it was drawn"
    (batch / "case_0.nii.gz").write_bytes((batch / "case_2.nii.gz").read_bytes())
    assert shown().startswith(b"\x89PNG")


def test_labels_alone_are_a_page_that_says_what_is_missing(batch: Path) -> None:
    for name in ("case_0.json", "case_0_stats.json"):
        (batch / name).unlink()
    page = case_page(batch / "case_0.nii.gz")
    assert "No statistics" in page.headline
    picture, how = page.parts
    assert isinstance(picture, Notes)
    assert "has no sidecar that names its scan" in picture.lines[0]
    assert isinstance(how, Notes)


def test_odd_values_in_a_sidecar_are_no_fault_but_a_damaged_one_is(batch: Path) -> None:
    side = batch / "case_0.json"
    odd = {"scan": 3, "guides": ["x"], "options": None, "made_with": 1, "seconds": [1], "model": 2}
    side.write_text(json.dumps(odd))
    assert case_page(batch / "case_0.nii.gz").title == "case_0"
    side.write_text("{")
    with pytest.raises(ReadError, match=r"case_0\.json: is not readable JSON"):
        case_page(batch / "case_0.nii.gz")
