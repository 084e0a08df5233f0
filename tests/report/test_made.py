"""Whether labels are what is wanted: every reason why not is found and told."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from slicekit.report.made import Wanted, digest, find_labels, stamp, versions

WANTED = Wanted({"net": "0123456789"}, "s", {"organs": None, "selector": None})


def save(path: Path, value: int) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.full((3, 4, 5), value, np.uint8), np.eye(4)), path)
    return path


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """Labels of a scan, complete."""
    scan, labels = save(tmp_path / "scan.nii.gz", 9), save(tmp_path / "x.nii.gz", 1)
    side = {
        "weights_sha256": dict(WANTED.weights_sha256), "settings_sha256": "s",
        "options": WANTED.options, "stamp": stamp(scan), "labels_sha256": digest(labels),
    }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps(side))
    (tmp_path / "x_stats.json").write_text("{}")
    return labels, scan


def change(labels: Path, **keys: Any) -> None:
    side = labels.with_name("x.json")
    side.write_text(json.dumps(json.loads(side.read_text()) | keys))


def test_what_is_wanted_is_done_and_nothing_is_absent(made: tuple[Path, Path]) -> None:
    labels, scan = made
    assert find_labels(labels, scan, WANTED) == ("done", "")
    assert find_labels(labels.with_name("y.nii.gz"), scan, WANTED).state == "absent"


def test_files_without_a_sidecar_are_unfinished(made: tuple[Path, Path]) -> None:
    labels, scan = made
    labels.with_name("x.json").unlink()
    assert find_labels(labels, scan, WANTED) == (
        "unfinished", "exists already, without a sidecar"
    )  # fmt: skip
    labels.unlink()
    assert find_labels(labels, scan, WANTED).why.startswith("is not there, but x_stats.json exi")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"weights_sha256": {"old": "abcdefghijkl"}}, r"other weights \(old abcdefgh; now net 01"),
        ({"weights_sha256": None}, r"other weights \(unknown; now net"),
        ({"settings_sha256": "t"}, "another recipe of the same weights"),
        (
            {"options": {"organs": ["liver"], "selector": None}},
            r"with organs \['liver'\], not None",
        ),
        ({"options": {"organs": None, "selector": None, "old": 3}}, "with old 3, not None"),
        ({"stamp": {"bytes": 1}}, "of another scan than lies there now"),
    ],
)
def test_what_was_otherwise_is_told(
    keys: dict[str, Any], why: str, made: tuple[Path, Path]
) -> None:
    labels, scan = made
    change(labels, **keys)
    found = find_labels(labels, scan, WANTED)
    assert found.state == "other"
    assert re.search(why, found.why), found.why


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weights_sha256": {"net": 3}}', "[" * 99999])
def test_a_sidecar_that_tells_nothing_is_another(text: str, made: tuple[Path, Path]) -> None:
    labels, scan = made
    labels.with_name("x.json").write_text(text)
    found = find_labels(labels, scan, WANTED)
    assert found == ("other", "x.json does not tell how it was made")


def test_a_scan_that_was_copied_is_the_same_and_one_that_was_changed_is_not(
    made: tuple[Path, Path],
) -> None:
    labels, scan = made
    os.utime(scan, ns=(1, 1))
    assert find_labels(labels, scan, WANTED).state == "done"
    content = bytearray(scan.read_bytes())
    content[-9] ^= 1
    scan.write_bytes(content)
    os.utime(scan, ns=(2, 2))
    assert find_labels(labels, scan, WANTED).why == "is of another scan than lies there now"


def test_more_files_are_wanted_than_lie_there(made: tuple[Path, Path]) -> None:
    labels, scan = made
    more = replace(WANTED, preview=True, uncertainty=True)
    why = "x_preview.png, x_uncertainty.nii.gz is not there"
    assert find_labels(labels, scan, more) == ("other", why)
    labels.with_name("x_preview.png").touch()
    labels.with_name("x_uncertainty.nii.gz").touch()
    assert find_labels(labels, scan, more).state == "done"
    assert find_labels(labels, scan, WANTED).state == "done"  # fewer are wanted
    labels.unlink()
    assert find_labels(labels, scan, WANTED) == ("other", "x.nii.gz is not there")


def test_a_correction_by_hand_is_kept_and_damage_is_told(made: tuple[Path, Path]) -> None:
    labels, scan = made
    save(labels, 2)
    assert find_labels(labels, scan, WANTED).state == "done"
    labels.write_bytes(labels.read_bytes()[:-9])
    assert find_labels(labels, scan, WANTED).why.startswith("is damaged (")


def test_versions_are_those_of_what_decides_results() -> None:
    found = versions()
    assert {"slicekit", "python", "torch", "numpy", "nibabel"} <= found.keys()
    assert stamp(Path(__file__).parent) is None


@pytest.mark.parametrize(
    ("theirs", "carrier", "why"),
    [
        ({"net": "0123456789", "p": "1"}, "p", "was made with the propagator p, now without"),
        ({"net": "9", "p": "1"}, "p", "was made by other weights (net 9, p 1; now net 01234567)"),
        ({"other": "9"}, None, "was made by other weights (other 9; now net 01234567)"),
        ({"net": "0123456789", "p": "1"}, ["p"], "was made by other weights (net 01234567, p 1; n"),
    ],
)
def test_a_propagator_that_is_left_out_is_no_other_weights(
    made: tuple[Path, Path], theirs: dict[str, str], carrier: object, why: str
) -> None:
    change(made[0], weights_sha256=theirs, propagator=carrier)
    assert find_labels(*made, WANTED).why.startswith(why)


def test_a_propagator_that_comes_or_changes_is_named(made: tuple[Path, Path]) -> None:
    both = replace(WANTED, weights_sha256={**WANTED.weights_sha256, "p": "1"})
    assert find_labels(*made, both).why == "was made without a propagator, now with p"
    change(made[0], weights_sha256={**WANTED.weights_sha256, "q": "1"}, propagator="q")
    assert find_labels(*made, both).why == "was made with the propagator q, now with p"
    change(made[0], weights_sha256={"old": "1", "p": "1"}, propagator="p")
    assert find_labels(*made, both).why.startswith("was made by other weights")


def test_labels_that_a_person_changed_are_done_and_it_is_said(made: tuple[Path, Path]) -> None:
    save(made[0], 2)
    assert find_labels(*made, WANTED) == ("done", "was changed after it was made, as by hand")
