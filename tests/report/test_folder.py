"""A folder of scans in one call."""

from __future__ import annotations

from pathlib import Path

import pytest

import slicekit
from slicekit.errors import LabelError, ReadError
from slicekit.inference.model import Model, load_model
from slicekit.runtime import pick_runtime


@pytest.fixture(scope="module")
def model(trial_models: Path) -> Model:
    runtime = pick_runtime("cpu", backend="torch")
    return load_model(trial_models / "trial_reference.toml", runtime, propagator=False)


def test_every_scan_is_told_and_a_bad_one_stops_nothing(
    scans: Path, model: Model, tmp_path: Path
) -> None:
    (scans / "c.nii.gz").write_bytes(b"no scan")
    told: list[str] = []
    first = slicekit.segment_folder(
        scans, tmp_path / "out", model, told=lambda one: told.append(one.scan.name)
    )
    assert told == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    assert [one.status for one in first] == ["done", "done", "failed"]
    assert isinstance(first[2].fault, ReadError)
    again = slicekit.segment_folder(str(scans), str(tmp_path / "out"), model)
    assert [one.status for one in again] == ["skipped", "skipped", "failed"]
    labels = slicekit.read_labels(tmp_path / "out" / "a.nii.gz")
    assert set(slicekit.statistics(labels, model.recipe.labels)) == {"liver", "spleen", "aorta"}


def test_what_cannot_be_a_batch_is_refused_before_anything_is_written(
    scans: Path, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(ReadError, match="is one scan"):
        slicekit.segment_folder(scans / "a.nii.gz", tmp_path / "out", model)
    with pytest.raises(ReadError, match="does not exist"):
        slicekit.segment_folder(tmp_path / "none", tmp_path / "out", model)
    unknown = slicekit.SegmentOptions(organs=("heart",))
    with pytest.raises(LabelError, match="heart"):
        slicekit.segment_folder(scans, tmp_path / "out", model, options=unknown)
    assert not (tmp_path / "out").exists()
