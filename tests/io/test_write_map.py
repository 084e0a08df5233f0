"""Maps of values from 0 to 1: on the image's own grid, and read by others as what they are."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from slicekit.errors import GeometryError, ShapeError, WriteError
from slicekit.io import read_volume, write_map, write_volume
from slicekit.volume import Volume

AFFINE = np.array([[0, 0, -2.0, 50], [0, -2.0, 0, 60], [5.0, 0, 0, -70], [0, 0, 0, 1]])


def values() -> np.ndarray:
    found = np.random.default_rng(0).random((3, 4, 5)).astype(np.float16)
    found.flat[0], found.flat[1] = 0, 1
    return found


@pytest.mark.parametrize("order", [("R", "A", "S"), ("S", "L", "P"), ("A", "I", "R")])
def test_it_lies_on_the_grid_of_the_file(order: tuple[str, ...], tmp_path: Path) -> None:
    turn = ornt_transform(axcodes2ornt(("R", "A", "S")), axcodes2ornt(order))
    stored = nibabel.orientations.apply_orientation(np.arange(60.0).reshape(5, 4, 3), turn)
    affine = np.diag([2.0, 2.0, 5.0, 1.0]) @ inv_ornt_aff(turn, (5, 4, 3))
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    path = write_map(tmp_path / "map.nii.gz", scan.array / 59, like=scan)
    theirs = nibabel.load(path)
    assert theirs.get_data_dtype() == np.uint8
    assert theirs.affine.tobytes() == nibabel.load(tmp_path / "scan.nii.gz").affine.tobytes()
    np.testing.assert_allclose(theirs.get_fdata(), stored / 59, atol=0.0026)
    assert theirs.get_fdata().min() == 0
    assert 0.9999 < theirs.get_fdata().max() <= 1
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    np.testing.assert_allclose(seen.transpose(), stored / 59, atol=0.0026)
    np.testing.assert_allclose(read_volume(path).array, scan.array / 59, atol=0.0026)


def test_a_grid_of_no_file_will_do(tmp_path: Path) -> None:
    like = Volume(np.zeros((3, 4, 5), np.int16), AFFINE)
    path = write_map(tmp_path / "map.nii", like.with_array(values()), like=like)
    again = read_volume(path)
    assert again.array.dtype == np.float32
    np.testing.assert_allclose(again.array, values(), atol=0.0026)
    assert again.same_grid(like)
    write_volume(tmp_path / "plain.nii", like)  # the slope is the map's own
    assert nibabel.load(tmp_path / "plain.nii").dataobj.slope == 1


@pytest.mark.parametrize("odd", [-0.01, 1.01, np.nan, np.inf])
def test_other_values_are_refused(odd: float, tmp_path: Path) -> None:
    like = Volume(np.zeros((3, 4, 5), np.int16), AFFINE)
    wrong = values()
    wrong[1, 2, 3] = odd
    with pytest.raises(ValueError, match="a map holds values from 0 to 1, got"):
        write_map(tmp_path / "map.nii", wrong, like=like)
    assert not list(tmp_path.iterdir())


def test_wrong_places_are_refused(tmp_path: Path) -> None:
    like = Volume(np.zeros((3, 4, 5), np.int16), AFFINE)
    with pytest.raises(ShapeError, match="values must be"):
        write_map(tmp_path / "map.nii", values()[1:], like=like)
    with pytest.raises(GeometryError, match="values"):
        write_map(tmp_path / "map.nii", Volume(values(), np.eye(4)), like=like)
    with pytest.raises(WriteError, match="map: is no name for a map; end it in"):
        write_map(tmp_path / "map", values(), like=like)
    (tmp_path / "map.nii").write_text("of somebody")
    with pytest.raises(WriteError, match="exists already"):
        write_map(tmp_path / "map.nii", values(), like=like)
    assert (tmp_path / "map.nii").read_text() == "of somebody"
    write_map(tmp_path / "map.nii", values(), like=like, overwrite=True)
    assert read_volume(tmp_path / "map.nii").shape == like.shape
