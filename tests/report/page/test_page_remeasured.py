"""Pages tell of the labels that lie there, not of those that once did."""

from __future__ import annotations

import json
from pathlib import Path

from slicekit.io import read_labels, write_labels
from slicekit.report.page.batch_page import batch_page
from slicekit.report.page.case_page import case_page
from slicekit.report.page.parts import Notes, Table
from slicekit.report.page.remeasured import remeasured
from slicekit.report.page.sources import read_case
from slicekit.volume import Volume


def halve(labels: Path) -> None:
    """Correct labels by hand: the upper half of the liver goes."""
    volume = read_labels(labels)
    ids = volume.array.copy()
    ids[3:][ids[3:] == 1] = 0
    write_labels(labels, ids, like=Volume(ids, volume.affine), overwrite=True)


def table(parts: object, title: str) -> Table:
    assert isinstance(parts, list)
    return next(part for part in parts if isinstance(part, Table) and part.title == title)


def test_labels_as_they_were_made_keep_their_figures(batch: Path) -> None:
    case = read_case(batch / "case_0.nii.gz")
    assert remeasured(case) is case


def test_corrected_labels_are_measured_anew_and_the_page_says_so(batch: Path) -> None:
    halve(batch / "case_0.nii.gz")
    organs = table(case_page(batch / "case_0.nii.gz").parts, "Organ by organ")
    assert [cell.text for cell in organs.rows[0]][:3] == ["liver", "4", "200"]
    assert organs.rows[0][5].text == "40"  # the mean, from the scan
    assert "changed after they were made" in organs.about
    page = batch_page(batch)
    cases = {row[0].text: row[1].text for row in table(page.parts, "Case by case").rows}
    assert (cases["case_0"], cases["case_1"]) == ("done, changed since", "done")
    liver = table(page.parts, "Organ by organ").rows[0]
    assert liver[2].text == "0.32"  # of the odd case
    assert "changed after they were made" in table(page.parts, "Case by case").about


def test_labels_that_cannot_be_measured_keep_no_old_figures(batch: Path) -> None:
    (batch / "case_0.nii.gz").write_bytes(b"nothing")
    page = case_page(batch / "case_0.nii.gz")
    notes = {part.title: part.lines for part in page.parts if isinstance(part, Notes)}
    assert "cannot be measured" in notes["Organ by organ"][0]
    assert any("cannot be measured" in line for part in batch_page(batch).parts
               if isinstance(part, Notes) for line in part.lines)  # fmt: skip


def test_without_a_spacing_organs_are_found_and_have_no_volume(batch: Path) -> None:
    stats = batch / "case_0_stats.json"
    told = json.loads(stats.read_text()) | {"spacing_known": False}
    for one in told["organs"].values():
        one["volume_ml"] = None
    stats.write_text(json.dumps(told))
    page = case_page(batch / "case_0.nii.gz")
    assert page.headline == "2 organs found."
    assert [cell.text for cell in table(page.parts, "Organ by organ").rows[0]][1:3] == ["-", "400"]
    rows = table(batch_page(batch).parts, "Case by case").rows
    assert {row[0].text: row[5].text for row in rows}["case_0"] == "2"


def test_warnings_stand_on_both_pages(batch: Path) -> None:
    side = batch / "case_0.json"
    side.write_text(json.dumps(json.loads(side.read_text()) | {"warnings": ["of MR", "odd"]}))
    notes = [part for part in case_page(batch / "case_0.nii.gz").parts if isinstance(part, Notes)]
    assert notes[0].lines == ["of MR", "odd"]
    cases = table(batch_page(batch).parts, "Case by case")
    column = list(cases.head).index("warnings")
    assert {row[0].text: row[column].text for row in cases.rows}["case_0"] == "of MR; odd"


def test_a_scan_that_is_another_now_is_not_drawn(batch: Path) -> None:
    side = batch / "case_0.json"
    other = json.loads(side.read_text()) | {"scan": str(batch / "case_0.nii.gz")}
    side.write_text(json.dumps(other))
    picture = case_page(batch / "case_0.nii.gz").parts[0]
    assert isinstance(picture, Notes)
    assert "the scan lies elsewhere or is another" in picture.lines[0]
