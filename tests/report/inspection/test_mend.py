"""A mended copy holds what is safe to mend, and the dataset itself stays bit for bit."""

from __future__ import annotations

import hashlib
import json
import resource
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from found import kinds

from slicekit.errors import WriteError
from slicekit.report.inspection import inspect_dataset, mend_dataset


def sums(folder: Path) -> dict[str, str]:
    """Return the digest of every file."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def worn(data: Path, put: Any, labels: Any, affine: Any, say: Any) -> Path:
    """A dataset with one of each fault that can be mended, and some that cannot."""
    put(data / "labelsTr" / "a.nii.gz", labels(0).astype(np.float64))
    affine[:3, 3] += 0.03
    put(data / "labelsTr" / "b.nii.gz", labels(1), affine)
    (data / "imagesTr" / "c_0000.nii.gz").rename(data / "imagesTr" / "c.nii.gz")
    (data / "imagesTr" / "d_0000.nii.gz").write_bytes(b"damaged")
    (data / "licence.txt").write_text("ours")
    (data / "imagesTs").mkdir()
    (data / "imagesTs" / "x_0000.nii.gz").write_bytes(b"left as it is")
    say(data, "dataset.json", {"name": "ä", "labels": {"liver": 1, "spleen": 2}, "numTraining": 1})
    return data


def test_what_is_safe_is_mended_and_told(worn: Path, tmp_path: Path, labels: Any) -> None:
    before, steps = sums(worn), []
    out = tmp_path / "out" / "mended"
    mended = mend_dataset(inspect_dataset(worn), out, progress=lambda *step: steps.append(step))
    assert sums(worn) == before
    assert {(one.file, one.what) for one in mended.changes} == {
        ("dataset.json", "numTraining is 4"),
        ("imagesTr/c_0000.nii.gz", "was c.nii.gz"),
        ("labelsTr/a.nii.gz", "ids stored as integers"),
        ("labelsTr/b.nii.gz", "lies on its image's grid"),
    }
    after, touched = sums(out), {one.file for one in mended.changes}
    assert len(after) == len(before) == steps[-1][1] == steps[-1][2]
    assert after["imagesTr/c_0000.nii.gz"] == before["imagesTr/c.nii.gz"]
    for file in set(after) - touched:
        assert after[file] == before[file], file
    a, b = (nibabel.load(out / "labelsTr" / f"{name}.nii.gz") for name in "ab")
    assert (a.get_data_dtype(), b.get_data_dtype()) == (np.uint8, np.uint8)
    assert np.array_equal(np.asarray(a.dataobj), labels(0))
    assert np.array_equal(np.asarray(b.dataobj), labels(1))
    assert np.array_equal(b.affine, nibabel.load(out / "imagesTr" / "b_0000.nii.gz").affine)
    content = json.loads((out / "dataset.json").read_text("utf-8"))
    assert content == {"name": "ä", "labels": {"liver": 1, "spleen": 2}, "numTraining": 4}
    assert list(out.parent.iterdir()) == [out]


def test_a_second_look_finds_only_what_cannot_be_mended(worn: Path, tmp_path: Path) -> None:
    mend_dataset(inspect_dataset(worn), tmp_path / "out")
    assert kinds(inspect_dataset(tmp_path / "out")) == {"unreadable": ["d"]}


def test_a_description_with_half_a_character_is_written_too(
    data: Path, tmp_path: Path, say: Any
) -> None:
    content = '{"name": "ä \\ud800", "labels": {"liver": 1, "spleen": 2}, "numTraining": 1}'
    say(data, "dataset.json", content)
    mend_dataset(inspect_dataset(data), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "dataset.json").read_text("utf-8"))
    assert written == json.loads(content) | {"numTraining": 4}


def test_scaled_ids_become_integers(data: Path, tmp_path: Path, labels: Any, affine: Any) -> None:
    file = nibabel.Nifti1Image(labels(0).astype(np.int16) * 2, affine)
    file.header.set_slope_inter(0.5, 0)
    nibabel.save(file, data / "labelsTr" / "a.nii.gz")
    found = inspect_dataset(data)
    assert kinds(found) == {"float-ids": ["a"]}
    mend_dataset(found, tmp_path / "out")
    mended = nibabel.load(tmp_path / "out" / "labelsTr" / "a.nii.gz")
    assert mended.header.get_slope_inter() in ((1.0, 0.0), (None, None))
    assert np.array_equal(np.asarray(mended.dataobj), labels(0))


def test_labels_of_other_axes_keep_their_place(
    data: Path, tmp_path: Path, put: Any, labels: Any, affine: Any
) -> None:
    turned = affine @ np.array([[0, 0, -1, 11], [1, 0, 0, 0], [0, 1, 0, 0.004], [0, 0, 0, 1.0]])
    put(data / "labelsTr" / "a.nii.gz", labels(0).transpose(1, 2, 0)[:, :, ::-1], turned)
    found = inspect_dataset(data)
    assert kinds(found) == {"nearly-grid": ["a"]}
    mend_dataset(found, tmp_path / "out")
    mended = nibabel.load(tmp_path / "out" / "labelsTr" / "a.nii.gz")
    assert np.array_equal(np.asarray(mended.dataobj), labels(0))
    assert np.array_equal(mended.affine, affine)


def test_a_name_that_is_taken_is_not_given(data: Path, tmp_path: Path, put: Any, scan: Any) -> None:
    put(data / "imagesTr" / "a.nii.gz", scan(7))
    found = inspect_dataset(data)
    assert "pairing" in kinds(found)
    mended = mend_dataset(found, tmp_path / "out")
    assert [one.file for one in mended.changes] == []
    assert sums(tmp_path / "out") == sums(data)


@pytest.mark.parametrize("place", ["data", "data/inside", "there"])
def test_the_copy_goes_into_a_new_folder_of_its_own(place: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    before = sums(tmp_path)
    with pytest.raises(WriteError, match=r"exists already|which stays as it is"):
        mend_dataset(inspect_dataset(data), tmp_path / place)
    assert sums(tmp_path) == before


def test_a_disk_that_fills_up_leaves_nothing(data: Path, tmp_path: Path) -> None:
    (data / "large.bin").write_bytes(bytes(300_000))
    found, before = inspect_dataset(data), sums(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(WriteError, match=r"out: could not be written whole: File too large"):
            mend_dataset(found, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sums(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_copy_that_cannot_fit_is_not_begun(data: Path, tmp_path: Path) -> None:
    found = inspect_dataset(data)
    with (data / "hole.bin").open("wb") as file:
        file.truncate(1 << 43)  # takes no room here, eight TiB in a copy
    with pytest.raises(WriteError, match="bytes free, the copy needs about 8,796"):
        mend_dataset(found, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_links_are_followed_once_and_dead_ones_told(
    data: Path, tmp_path: Path, put: Any, scan: Any
) -> None:
    outside = data.rename(tmp_path / "elsewhere")
    data.mkdir()
    for entry in outside.iterdir():
        (data / entry.name).symlink_to(entry)
    (data / "loop").symlink_to(data)
    (data / "dead.txt").symlink_to("nowhere")
    mended = mend_dataset(inspect_dataset(data), tmp_path / "out")
    assert mended.left_out == ("dead.txt",)
    assert sums(tmp_path / "out") == sums(outside)
    assert not any(file.is_symlink() for file in (tmp_path / "out").rglob("*"))
