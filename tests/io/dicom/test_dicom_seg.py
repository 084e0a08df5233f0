"""Labels beside a series as DICOM-SEG: read back, and placed right."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from made_series import AXIAL, CORONAL, SAGITTAL, stored_voxels, write_enhanced, write_series
from pydicom.dataset import Dataset

from slicekit.errors import DataWarning, GeometryError, LabelError, ReadError, WriteError
from slicekit.io import expect_labels_name, read_labels, read_volume, write_labels
from slicekit.io.dicom.label_files import label_kind
from slicekit.io.dicom.seg_read import segment_names
from slicekit.labels import LabelSet
from slicekit.volume import Volume

NAMES = LabelSet({"liver": 6, "right_kidney": 2, "lesion of interest": 300})


def some_labels(volume: Volume) -> np.ndarray:
    ids = np.zeros(volume.shape, np.uint16)
    ids[1:3, 2:9, 1:4] = 6
    ids[-1, -1, -1] = 2
    ids[2, 0, 0] = 300
    return ids


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL], ids=str)
@pytest.mark.parametrize("downwards", [False, True])
def test_labels_come_back_where_they_were(
    tmp_path: Path, orientation: tuple[float, ...], downwards: bool
) -> None:
    heights = [2.5 * at for at in range(5)]
    write_series(
        tmp_path / "s", orientation=orientation, heights=heights[:: -1 if downwards else 1]
    )
    volume = read_volume(tmp_path / "s")
    ids = some_labels(volume)
    file = write_labels(tmp_path / "seg.dcm", ids, like=volume, names=NAMES)
    assert np.array_equal(read_labels(file, like=volume).array, ids)
    alone = read_labels(file)
    for label in (2, 6, 300):
        places = [
            {tuple(np.round(grid.affine @ [*voxel, 1], 3)) for voxel in np.argwhere(found == label)}
            for grid, found in ((alone, alone.array), (volume, ids))
        ]
        assert places[0] == places[1] != set()


def test_another_program_finds_every_frame_on_its_slice(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    ids = some_labels(volume)
    file = write_labels(tmp_path / "seg.dcm", ids, like=volume, names=NAMES)
    seg = highdicom.seg.segread(file)
    by_uid = {}
    for name in volume.source.files:
        one = pydicom.dcmread(tmp_path / "s" / name)
        by_uid[one.SOPInstanceUID] = float(one.ImagePositionPatient[2])
    for number in seg.segment_numbers:
        about = seg.get_segment_description(number)
        label = NAMES.ids[about.segment_label]
        frames = seg.get_pixels_by_source_instance(
            list(by_uid), segment_numbers=[number], ignore_spatial_locations=False
        )
        for height, frame in zip(by_uid.values(), frames[..., 0], strict=True):
            z = round((height - volume.affine[2, 3]) / 2.5)
            assert np.array_equal(frame != 0, ids[z] == label)


def test_organs_have_their_codes(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    file = write_labels(tmp_path / "seg.dcm", some_labels(volume), like=volume, names=NAMES)
    assert segment_names(file).ids == NAMES.ids
    kinds = {
        one.SegmentLabel: one.SegmentedPropertyTypeCodeSequence[0]
        for one in pydicom.dcmread(file).SegmentSequence
    }
    assert kinds["liver"].CodeValue == "10200004"
    assert kinds["right_kidney"].CodeValue == "64033007"
    side = kinds["right_kidney"].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Right"
    assert kinds["lesion of interest"].CodeMeaning == "Anatomical Structure"


def test_labels_without_names_are_numbered(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    file = write_labels(tmp_path / "seg.dcm", some_labels(volume), like=volume)
    assert segment_names(file).ids == {"label_2": 2, "label_6": 6, "label_300": 300}
    empty = np.zeros(volume.shape, np.uint8)
    with pytest.raises(LabelError, match="need a segment"):
        write_labels(tmp_path / "none.dcm", empty, like=volume)
    file = write_labels(tmp_path / "none.dcm", empty, like=volume, names=NAMES)
    assert not read_labels(file, like=volume).array.any()


def test_segments_of_one_name_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    file = write_labels(tmp_path / "seg.dcm", some_labels(volume), like=volume)
    one = pydicom.dcmread(file)
    for segment in one.SegmentSequence:
        segment.SegmentLabel = "Lesion"
    one.save_as(file)
    with pytest.warns(DataWarning, match="several segments called 'Lesion'"):
        names = segment_names(file)
    assert names.ids == {"Lesion": 2, "Lesion_2": 6, "Lesion_3": 300}


def test_labels_of_a_multi_frame_scan(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "one.dcm", stored_voxels(4), [5.0, 0.0, 7.5, 2.5])
    volume = read_volume(tmp_path / "one.dcm")
    ids = some_labels(volume)
    file = write_labels(tmp_path / "seg.dcm", ids, like=volume)
    assert np.array_equal(read_labels(file, like=volume).array, ids)


def test_a_slight_shear_is_no_obstacle(tmp_path: Path) -> None:
    places = [(-30.0, -20.0 + 0.05 * at, 40.0 + 2.5 * at) for at in range(5)]
    write_series(tmp_path / "s", places=places)
    volume = read_volume(tmp_path / "s")
    assert volume.affine[1, 0] == pytest.approx(-0.05)
    ids = some_labels(volume)
    file = write_labels(tmp_path / "seg.dcm", ids, like=volume)
    assert np.array_equal(read_labels(file, like=volume).array, ids)


def test_positions_rounded_by_the_scanner_are_no_obstacle(tmp_path: Path) -> None:
    write_series(tmp_path / "s", heights=[0, 1.33, 2.67, 4, 5.33])
    volume = read_volume(tmp_path / "s")
    ids = some_labels(volume)
    ids[0] = ids[-1] = 0
    file = write_labels(tmp_path / "seg.dcm", ids, like=volume)
    assert np.array_equal(read_labels(file, like=volume).array, ids)


def test_what_cannot_be_referred_to_is_refused(tmp_path: Path) -> None:
    def strip(_: int, one: Dataset) -> None:
        del one.FrameOfReferenceUID

    write_series(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    ids = some_labels(volume)
    cropped = Volume(volume.array[1:], volume.affine, volume.source)
    with pytest.raises(WriteError, match="resampled or cropped"):
        write_labels(tmp_path / "a.dcm", ids[1:], like=cropped)
    plain = Volume(volume.array, volume.affine)
    with pytest.raises(WriteError, match="no DICOM series"):
        expect_labels_name(tmp_path / "a.dcm", like=plain)
    with pytest.raises(WriteError, match=r"end it in \.nii\.gz, or in \.dcm"):
        write_labels(tmp_path / "folder", ids, like=volume)
    write_series(tmp_path / "t", change=strip)
    bare = read_volume(tmp_path / "t")
    with pytest.raises(WriteError, match="lacks FrameOfReferenceUID"):
        write_labels(tmp_path / "a.dcm", ids, like=bare)
    (tmp_path / "s" / "IM002.dcm").unlink()
    with pytest.raises(WriteError, match="cannot be read any more"):
        write_labels(tmp_path / "a.dcm", ids, like=volume)
    assert not list(tmp_path.glob("*.dcm"))


def test_what_is_no_segmentation_or_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    write_series(tmp_path / "t", heights=[1.0 + 2.5 * at for at in range(5)], series="1.2.8")
    volume, other = read_volume(tmp_path / "s"), read_volume(tmp_path / "t")
    file = write_labels(tmp_path / "seg.dcm", some_labels(volume), like=volume)
    assert label_kind(file) == "seg"
    assert label_kind(tmp_path / "s" / "IM000.dcm") is None
    with pytest.raises(GeometryError, match="does not lie on the image's grid"):
        read_labels(file, like=other)
    with pytest.raises(ReadError, match="expected a DICOM-SEG"):
        read_labels(tmp_path / "s" / "IM000.dcm")
    with pytest.raises(ReadError, match=r"holds no DICOM scan, only seg\.dcm"):
        read_volume(file)
