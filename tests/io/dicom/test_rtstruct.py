"""Labels beside a series as RTSTRUCT: in the right place, whole, and refused where they must be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes, get_iod_module_map
from made_series import AXIAL, CORONAL, SAGITTAL, stored_voxels, write_enhanced, write_series
from matplotlib.path import Path as Polygon
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from slicekit.errors import DataWarning, GeometryError, LabelError, ReadError, WriteError
from slicekit.io import expect_labels_name, read_labels, read_volume, write_labels, write_volume
from slicekit.io.dicom.label_files import dicom_label_names, label_kind
from slicekit.labels import LabelSet
from slicekit.volume import Volume

NAMES = LabelSet({"liver": 6, "right_kidney": 2, "Leber für zwei": 300})
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def some_labels(volume: Volume) -> np.ndarray:
    """Two organs with two components and a hole, and one of a single voxel."""
    ids = np.zeros(volume.shape, np.uint16)
    ids[1:4, 2:10, 1:9] = 6
    ids[2, 3:8, 3:6] = 0
    ids[2, 5, 4] = 300
    ids[-1, -1, -1] = ids[0, 0, :2] = 2
    return ids


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    write_series(tmp_path / "s")
    return read_volume(tmp_path / "s")


@pytest.fixture
def file(volume: Volume, tmp_path: Path) -> Path:
    return write_labels(
        tmp_path / "x.rtstruct.dcm", some_labels(volume), like=volume, names=NAMES
    )  # fmt: skip


def edited(file: Path, change: Callable[[Dataset], Any]) -> Path:
    """Change an RTSTRUCT, as other programs might write it."""
    dataset = pydicom.dcmread(file)
    change(dataset)
    out = file.with_name("edited.dcm")
    dataset.save_as(out)
    return out


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE], ids=str)
@pytest.mark.parametrize("downwards", [False, True])
def test_labels_come_back_where_a_segmentation_puts_them(
    tmp_path: Path, orientation: tuple[float, ...], downwards: bool
) -> None:
    heights = [2.5 * at for at in range(12)][:: -1 if downwards else 1]
    write_series(tmp_path / "s", stored_voxels(12), orientation=orientation, heights=heights)
    volume = read_volume(tmp_path / "s")
    ids = some_labels(volume)
    contours = write_labels(tmp_path / "a.rtstruct.dcm", ids, like=volume, names=NAMES)
    segments = write_labels(tmp_path / "a.dcm", ids, like=volume, names=NAMES)
    assert np.array_equal(read_labels(contours, like=volume).array, ids)
    assert np.array_equal(
        read_labels(contours, like=volume).array, read_labels(segments, like=volume).array
    )
    plain = read_volume(write_volume(tmp_path / "scan.nii.gz", volume))
    assert np.array_equal(read_labels(contours, like=plain).array, ids)


def test_contours_lie_on_their_images_in_millimetres(file: Path, volume: Volume) -> None:
    """By hand, from the headers: no code of the reader is asked."""
    images = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, volume.source.paths()[1:])}
    dataset = pydicom.dcmread(file)
    found = np.zeros(volume.shape, np.uint16)
    labels = {one.ROINumber: NAMES.ids[one.ROIName] for one in dataset.StructureSetROISequence}
    for region in dataset.ROIContourSequence:
        for contour in region.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            image = images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            position = np.array(image.ImagePositionPatient, dtype=float)
            assert (points[:, 2] == position[2]).all()
            columns, rows = (
                (points[:, at] - position[at]) / image.PixelSpacing[1 - at] for at in (0, 1)
            )
            inside = Polygon(np.stack([columns, rows], axis=1)).contains_points(
                [(x, y) for y in range(image.Rows) for x in range(image.Columns)]
            ).reshape(image.Rows, image.Columns)  # fmt: skip
            z = round((position[2] - volume.affine[2, 3]) / 2.5)
            found[z][inside] = labels[region.ReferencedROINumber]
    assert np.array_equal(found, some_labels(volume))


def test_what_the_standard_asks_for_is_there(file: Path, volume: Volume) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = pydicom.dcmread(file)
        for _ in dataset.iterall():
            pass
    for module in get_iod_module_map()["rt-structure-set"]:
        if module["usage"] == "M" or module["key"] in ("frame-of-reference", "approval"):
            check_required_attributes(dataset, module["key"])
    first = pydicom.dcmread(volume.source.path / volume.source.files[0])
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert dataset[keyword].value == first[keyword].value
    series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    referred = series.RTReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == first.SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in referred.ContourImageSequence} == {
        *volume.source.instance_uids
    }
    uids = {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, first.SeriesInstanceUID}
    assert len(uids) == 3
    assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
    colours = {tuple(one.ROIDisplayColor) for one in dataset.ROIContourSequence}
    assert len(colours) == 3


def test_names_and_ids_come_back(file: Path, volume: Volume, tmp_path: Path) -> None:
    assert label_kind(file) == "rtstruct"
    named = dicom_label_names(file)
    assert named is not None and named.ids == NAMES.ids
    empty = np.zeros(volume.shape, np.uint8)
    with pytest.raises(LabelError, match="no voxel has a label"):
        write_labels(tmp_path / "e.rtstruct.dcm", empty, like=volume)
    out = write_labels(tmp_path / "e.rtstruct.dcm", empty, like=volume, names=NAMES)
    assert not read_labels(out, like=volume).array.any()
    assert not [one for one in pydicom.dcmread(out).ROIContourSequence if "ContourSequence" in one]


def test_labels_of_a_multi_frame_scan_and_rounded_positions(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "one.dcm", stored_voxels(4), [5.0, 0.0, 7.5, 2.5])
    scan = read_volume(tmp_path / "one.dcm")
    out = write_labels(tmp_path / "a.rtstruct.dcm", some_labels(scan), like=scan)
    assert np.array_equal(read_labels(out, like=scan).array, some_labels(scan))
    contours = [
        one for region in pydicom.dcmread(out).ROIContourSequence for one in region.ContourSequence
    ]
    by_frame = {
        one.ContourImageSequence[0].ReferencedFrameNumber: one.ContourData[2] for one in contours
    }
    assert by_frame == {1: 5.0, 2: 0.0, 3: 7.5, 4: 2.5}
    write_series(tmp_path / "s", heights=[0, 1.33, 2.67, 4, 5.33])
    scan = read_volume(tmp_path / "s")
    out = write_labels(tmp_path / "b.rtstruct.dcm", some_labels(scan), like=scan)
    assert np.array_equal(read_labels(out, like=scan).array, some_labels(scan))


def test_contours_of_others_are_read(file: Path, volume: Volume) -> None:
    """A hole as a contour of its own, no ids in the descriptions, and points that mark a place."""

    def others(dataset: Dataset) -> None:
        for one in dataset.StructureSetROISequence:
            one.ROIDescription = ""
        regions = dataset.ROIContourSequence
        for contour in (*regions[0].ContourSequence, *regions[1].ContourSequence):
            contour.ContourGeometricType = "CLOSEDPLANAR_XOR"
        regions[2].ContourSequence[0].ContourGeometricType = "POINT"
        outer, hole = regions[1].ContourSequence[0], Dataset()
        (x, y, z) = outer.ContourData[:3]
        hole.ContourGeometricType, hole.NumberOfContourPoints = "CLOSED_PLANAR", 4
        x, y = -30 + 4 * 0.5, -20 + 4 * 0.75
        hole.ContourData = [
            f"{value:g}" for value in (x - 0.2, y, z, x, y - 0.3, z, x + 0.2, y, z, x, y + 0.3, z)
        ]
        regions[1].ContourSequence.append(hole)

    with pytest.warns(DataWarning, match="only points: Leber für zwei"):
        found = read_labels(edited(file, others), like=volume).array
    ids = some_labels(volume)
    wanted = np.select([ids == 2, ids == 6], [1, 2], 0)
    foot = 1  # the first slice of the second region
    wanted[foot, 4, 4] = 0
    assert np.array_equal(found, wanted)


def first_contour(dataset: Dataset) -> Dataset:
    return dataset.ROIContourSequence[1].ContourSequence[0]


def shifted(dataset: Dataset, by: float, axis: int) -> None:
    contour = first_contour(dataset)
    points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
    points[:, axis] += by
    contour.ContourData = [f"{value:.3f}" for value in points.ravel()]


def overlap(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ContourSequence.append(first_contour(dataset))


def open_planar(dataset: Dataset) -> None:
    first_contour(dataset).ContourGeometricType = "OPEN_PLANAR"


def other_series(dataset: Dataset) -> None:
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.99"


def too_few(dataset: Dataset) -> None:
    first_contour(dataset).ContourData = first_contour(dataset).ContourData[:-3]


def nobody(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ReferencedROINumber = 77


@pytest.mark.parametrize(
    ("change", "kind", "why"),
    [
        (other_series, GeometryError, r"drawn on the series 1\.2\.99, but .*s is the series 1\.2"),
        (lambda one: shifted(one, 1.2, 2), GeometryError, r"'liver' lies on no slice .*1\.48"),
        (lambda one: shifted(one, 25, 2), GeometryError, r"beyond the image \(slice 11 of 5\)"),
        (lambda one: shifted(one, -9, 0), GeometryError, r"beyond the image \(1\d\.\d voxels off"),
        (open_planar, ReadError, r"contour 1 of 'liver' is of the type OPEN_PLANAR, expected one"),
        (too_few, ReadError, r"contour 1 of 'liver' is no list of as many points"),
        (nobody, ReadError, r"contours of a region 77 without a name"),
        (overlap, ReadError, r"'right_kidney' and 'liver' overlap"),
        (lambda one: one.__delattr__("ROIContourSequence"), ReadError, "holds no contours"),
    ],
)
def test_contours_that_cannot_be_meant_are_refused(
    file: Path, volume: Volume, change: Callable[[Dataset], Any], kind: type[Exception], why: str
) -> None:
    with pytest.raises(kind, match=why) as caught:
        read_labels(edited(file, change), like=volume)
    assert "edited.dcm" in str(caught.value)


def test_a_truncated_file_is_refused(file: Path, volume: Volume) -> None:
    content = file.read_bytes()
    cut = file.with_name("cut.dcm")
    for share in (0.2, 0.4, 0.6, 0.8, 0.9):
        cut.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ReadError, match=r"cut\.dcm"):
            read_labels(cut, like=volume)


def test_what_has_no_grid_or_no_series_is_refused(
    file: Path, volume: Volume, tmp_path: Path
) -> None:
    with pytest.raises(ReadError, match="no grid of their own; read them with the scan"):
        read_labels(file)
    plain = Volume(volume.array, volume.affine)
    with pytest.raises(WriteError, match="is to be an RTSTRUCT, but the image is no DICOM series"):
        expect_labels_name(tmp_path / "y.rtstruct.dcm", like=plain)
    (tmp_path / "s" / "IM002.dcm").unlink()
    with pytest.raises(WriteError, match="cannot be read any more"):
        write_labels(tmp_path / "y.rtstruct.dcm", some_labels(volume), like=volume)
    assert not (tmp_path / "y.rtstruct.dcm").exists()


def test_real_organs_come_back(shared_data: Path, tmp_path: Path) -> None:
    """Every organ of a real series, through contours and through segments."""
    for at, name in enumerate(sorted((shared_data / "dicom_series/totalseg_j2k").iterdir())):
        header = pydicom.dcmread(name)
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{at}"
        header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.4", "1.2.5"  # they were removed
        header.FrameOfReferenceUID, header.SOPClassUID = "1.2.6", CTImageStorage
        (tmp_path / "s").mkdir(exist_ok=True)
        header.save_as(tmp_path / "s" / name.name)
    scan = read_volume(tmp_path / "s")
    labels = read_labels(shared_data / "dicom_series" / "totalseg_j2k_labels.nii.gz", like=scan)
    contours = write_labels(tmp_path / "a.rtstruct.dcm", labels, like=scan)
    segments = write_labels(tmp_path / "a.dcm", labels, like=scan)
    found = read_labels(contours, like=scan).array
    assert len(np.unique(labels.array)) > 5
    assert np.array_equal(found, labels.array)
    assert np.array_equal(found, read_labels(segments, like=scan).array)
