"""What an evaluation's page says, from what the command printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from slicekit.io import read_labels, write_labels
from slicekit.report.evaluation import evaluate_paths
from slicekit.report.page.evaluation_page import evaluation_page
from slicekit.report.page.parts import Facts, Gallery, Table


def evaluated(batch: Path) -> dict[str, object]:
    """Compare the batch with truths of which those of later cases are more unlike."""
    truth = batch.parent / "truth"
    for n, path in enumerate(sorted(batch.glob("case_*.nii.gz"))):
        labels = read_labels(path)
        moved = labels.with_array(np.roll(labels.array, 2 * n, axis=2))
        write_labels(truth / path.name, moved, like=labels)
    for path in batch.glob("odd*"):
        path.unlink()
    return evaluate_paths(batch, truth).to_json()


def test_scores_and_pictures_follow_the_evaluation(batch: Path, tmp_path: Path) -> None:
    content = json.loads(json.dumps(evaluated(batch)))
    page = evaluation_page(tmp_path / "s.json", content)
    assert page.headline.startswith("5 cases, 2 organs; mean DSC 0.")
    by_title = {one.title: one for one in page.parts}
    cases = by_title["Case by case"]
    assert isinstance(cases, Table)
    assert [cell.text for cell in cases.rows[0]] == ["case_0", "1.000", "1.000", "0.0", "", ""]
    each = by_title["DSC of every organ and case"]
    assert isinstance(each, Table)
    assert each.rows[4][2].tone == "bad"  # the small organ no longer overlaps
    shown = by_title["Cases, the worst first"]
    assert isinstance(shown, Gallery)
    assert [one.title[-1] for one in shown.pictures] == list("43210")
    how = by_title["How the labels were made"]
    assert isinstance(how, Facts)
    assert dict(how.facts)["model"] == "toy"


def test_without_the_scan_contours_are_drawn_on_black(batch: Path, tmp_path: Path) -> None:
    content = json.loads(json.dumps(evaluated(batch)))
    for scan in (batch.parent / "scans").iterdir():
        scan.unlink()
    page = evaluation_page(tmp_path / "s.json", content)
    shown = next(one for one in page.parts if isinstance(one, Gallery))
    assert len(shown.pictures) == 5
