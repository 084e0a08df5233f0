"""What a folder means: a series, slices, or scans of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_series import write_series
from PIL import Image

from slicekit.io import read_volume, write_labels
from slicekit.io.listing import dicom_files, holds_dicom
from slicekit.report.batch import outputs_beside, plan_outputs


def test_labels_beside_a_series_do_not_hide_it(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    write_series(folder)
    volume = read_volume(folder)
    write_labels(folder / "labels.nii.gz", np.ones(volume.shape), like=volume)
    assert holds_dicom(folder)
    assert plan_outputs(folder, None) == [(folder, Path("case_labels.nii.gz"))]


def test_slices_with_a_stray_are_still_slices(tmp_path: Path) -> None:
    write_series(tmp_path, np.ones((1, 4, 4), np.uint16))
    for at in range(3):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{at}.png")
    assert not holds_dicom(tmp_path)


def test_folders_below_are_searched_only_where_there_is_nothing_above(tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "b", name="{:d}")
    write_series(tmp_path / ".hidden")
    assert holds_dicom(tmp_path)
    assert dicom_files(tmp_path) == [f"a/b/{at}" for at in range(5)]
    write_series(tmp_path, np.ones((1, 4, 4), np.uint16), name="top.dcm")
    assert dicom_files(tmp_path) == ["top.dcm"]
    assert not holds_dicom(tmp_path / "nowhere")


def test_outputs_of_an_archive_and_of_a_segmentation_have_short_names(tmp_path: Path) -> None:
    archive = tmp_path / "study.zip"
    archive.touch()
    assert plan_outputs(archive, None) == [(archive, Path("study_labels.nii.gz"))]
    assert outputs_beside(Path("a/labels.dcm")).sidecar == Path("a/labels.json")
