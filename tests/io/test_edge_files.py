"""Odd and broken files from the wild: every verdict of their index is kept."""

from __future__ import annotations

import json
import re
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from slicekit.errors import DataWarning, SlicekitError
from slicekit.io import read_labels, read_volume, write_labels
from slicekit.volume import Volume

# Offered as a label map of one image it is readable; that no dataset knows id 77 is found later.
READABLE_HERE = {"unknown_id_labels.nii.gz"}
EARLY = 2 << 20
"""Bytes that refusing a header may take at the most."""


def entries(folder: Path) -> list[tuple[Path, str, str]]:
    """File, role and verdict of every NIfTI entry; XYZ stands for 48 axis codes."""
    index = json.loads((folder / "edge" / "INDEX.json").read_text())
    found = []
    for entry in index["files"]:
        if entry["file"].startswith("nifti/"):
            pattern = entry["file"].replace("XYZ", "[A-Z][A-Z][A-Z]")
            paths = sorted((folder / "edge").glob(pattern))
            assert len(paths) == entry.get("count", 1), entry["file"]
            found += [(path, entry["role"], entry["verdict"]) for path in paths]
    return found


def offer(path: Path, role: str, crop: Volume | None) -> Volume:
    """Read a file as what its index says it is; doubts are of our own class."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if role == "image":
            volume = read_volume(path)
        else:
            at_home = path.name.startswith("orient_")
            image = path.with_name(path.name.replace("_label", ""))
            volume = read_labels(path, like=read_volume(image) if at_home else crop)
    assert {entry.category for entry in caught} <= {DataWarning}
    return volume


def test_every_file_meets_its_verdict(shared_data: Path) -> None:
    crop = read_volume(shared_data / "edge/nifti/crop.nii.gz")
    wrong = []
    for path, role, verdict in entries(shared_data):
        tracemalloc.start()
        try:
            volume = offer(path, role, crop)
            assert np.isfinite(volume.array).all()
            outcome = "accept"
        except SlicekitError as fault:
            assert str(path) in str(fault)
            assert re.search(r"[a-z]{3,}.* [a-z]{3,}", str(fault).replace(str(path), ""))
            outcome = "refuse"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if outcome == "refuse" and path.suffix == ".nii" and peak > EARLY:
            wrong.append((path.name, peak))
        readable = path.name in READABLE_HERE
        if verdict != "either" and outcome != ("accept" if readable else verdict):
            wrong.append((path.name, outcome))
    assert wrong == []


@pytest.mark.parametrize("dims", ["huge_dims_header.nii", "zero_dim.nii", "negative_dim.nii"])
def test_impossible_sizes_take_no_memory(shared_data: Path, dims: str) -> None:
    tracemalloc.start()
    with pytest.raises(SlicekitError):
        read_volume(shared_data / "edge/nifti" / dims)
    assert tracemalloc.get_traced_memory()[1] < EARLY
    tracemalloc.stop()


def test_files_with_the_crops_voxels_equal_the_crop(shared_data: Path) -> None:
    folder = shared_data / "edge/nifti"
    crop = read_volume(folder / "crop.nii.gz")
    for name in ("4d_one_frame", "float64", "slope_intercept", "qform_only", "Bauch CT é"):
        volume = read_volume(folder / f"{name}.nii.gz")
        assert np.array_equal(volume.array, crop.array), name
        assert volume.same_grid(crop, tolerance_mm=1e-3), name
    labels = read_labels(folder / "crop_label.nii.gz", like=crop)
    for name in ("float64_labels", "int64_labels"):
        again = read_labels(folder / f"{name}.nii.gz", like=crop)
        assert np.array_equal(again.array, labels.array), name


def test_48_orders_are_one_volume_and_return_to_their_own_grids(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "edge/nifti"
    crop = read_volume(folder / "crop.nii.gz")
    truth = read_labels(folder / "crop_label.nii.gz", like=crop)
    images = sorted(folder.glob("orient_???.nii.gz"))
    assert len(images) == 48
    for image in images:
        volume = read_volume(image)
        assert np.array_equal(volume.array, crop.array)
        assert np.allclose(volume.affine, crop.affine, atol=1e-4)
        theirs = image.with_name(image.name.replace(".nii", "_label.nii"))
        assert np.array_equal(read_labels(theirs, like=volume).array, truth.array)
        out = write_labels(tmp_path / image.name, truth, like=volume)
        assert (nibabel.load(out).affine == nibabel.load(image).affine).all()
        stored = np.asarray(nibabel.load(theirs).dataobj)
        assert (np.asarray(nibabel.load(out).dataobj) == stored).all()
        one, other = (SimpleITK.ReadImage(str(path)) for path in (out, theirs))
        assert one.GetDirection() == other.GetDirection()
        assert one.GetOrigin() == other.GetOrigin()
        assert (SimpleITK.GetArrayFromImage(one) == SimpleITK.GetArrayFromImage(other)).all()


def place_in_itk(path: Path) -> tuple[Any, ...] | None:
    """Where ITK puts a file; ``None`` where it refuses the grid."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
    return image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()


@pytest.mark.filterwarnings("ignore::slicekit.errors.DataWarning")
def test_masks_of_all_accepted_images_lie_on_them(shared_data: Path, tmp_path: Path) -> None:
    """Big-endian, NIfTI-2, oblique, sheared, flat, without any form: nibabel and ITK agree."""
    for path, role, verdict in entries(shared_data):
        if role != "image" or verdict == "refuse" or path.name.startswith("orient_"):
            continue
        try:
            volume = read_volume(path)
        except SlicekitError:
            continue  # "either"
        middle = np.median(volume.array)
        name = "mask.nii" if path.name == "plain_named.nii.gz" else "mask.nii.gz"
        out = write_labels(tmp_path / name, volume.array > middle, like=volume, overwrite=True)
        if path.name in ("gzip_named.nii", "plain_named.nii.gz"):
            continue  # the other readers go by the name
        scan, mask = nibabel.load(path), nibabel.load(out)
        assert mask.shape == scan.shape, path.name
        assert (mask.affine == scan.affine).all(), path.name
        values = scan.get_fdata()
        values[~np.isfinite(values)] = values[np.isfinite(values)].min()
        assert ((values.astype(np.float32) > middle) == np.asarray(mask.dataobj)).all(), path.name
        if path.name != "negative_pixdim.nii.gz":  # ITK mirrors such an image
            assert place_in_itk(out) == place_in_itk(path), path.name


def test_one_frame_of_the_series(shared_data: Path, tmp_path: Path) -> None:
    for name, frames in (
        ("functional.nii", 20),
        ("example4d.nii.gz", 2),
        ("4d_two_frames.nii.gz", 2),
    ):
        path = shared_data / "edge/nifti" / name
        volume = read_volume(path, volume_index=frames - 1)
        scan = nibabel.load(path)
        out = write_labels(tmp_path / f"{frames}{name}", volume.array > 0, like=volume)
        assert (nibabel.load(out).affine == scan.affine).all()
        assert np.allclose(
            np.sort(scan.get_fdata()[..., -1].ravel()), np.sort(volume.array.ravel())
        )


def test_real_slices_and_their_masks(shared_data: Path) -> None:
    folder = shared_data / "slice_folders/lits_00"
    with pytest.warns(DataWarning, match="know no place in the patient"):
        volume = read_volume(folder / "images")
    assert volume.source.gray_range is None
    assert volume.source.numbers[0] == 46
    assert volume.array.dtype == np.uint8
    labels = read_labels(folder / "masks", like=volume)
    assert set(np.unique(labels.array)) <= {0, 127, 255}
    with pytest.raises(SlicekitError, match=r"did you mean .*images"):
        read_volume(folder)
