"""From drawn slices on disk to labels on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from slicekit.errors import (
    DataWarning,
    GeometryError,
    LabelError,
    ReadError,
    ShapeError,
    SlicekitError,
    WriteError,
)
from slicekit.io import read_labels, read_volume, write_labels, write_volume
from slicekit.report.carrying import propagate_file, propagate_folder
from slicekit.report.drawn import CarryOptions
from slicekit.report.made import stamp
from slicekit.volume import Volume


@pytest.fixture
def scan(phantoms: tuple[Any, ...], tmp_path: Path) -> Path:
    """A phantom as a file whose slices run from head to foot."""
    image = phantoms[0].image
    flipped = Volume(image.array, image.affine)
    path = write_volume(tmp_path / "scan.nii.gz", flipped)
    stored = nibabel.load(path)
    turned = nibabel.Nifti1Image(
        np.asarray(stored.dataobj)[:, :, ::-1],
        stored.affine @ np.diag([1, 1, -1, 1]) + _shift(stored),
    )
    turned.header.set_xyzt_units("mm")
    nibabel.save(turned, path)
    return path


def _shift(stored: Any) -> Any:
    moved = np.zeros((4, 4))
    moved[:3, 3] = stored.affine[:3, 2] * (stored.shape[2] - 1)
    return moved


@pytest.fixture
def truth(phantoms: tuple[Any, ...]) -> Any:
    return phantoms[0].labels.array


@pytest.fixture
def draw(scan: Path, truth: Any, tmp_path: Path) -> Callable[..., Path]:
    """Write a label map that holds some organs on some slices."""

    def write(slices: dict[int, list[int]], name: str = "guides") -> Path:
        labels = np.zeros_like(truth)
        for z, organs in slices.items():
            labels[z] = np.where(np.isin(truth[z], organs), truth[z], 0)
        path = tmp_path / f"{name}.nii.gz"
        return write_labels(path, labels, like=read_volume(scan))

    return write


LIVER, SPLEEN = 6, 1


def held(truth: Any, number: int) -> list[int]:
    found: list[int] = np.flatnonzero((truth == number).any(axis=(1, 2))).tolist()
    return found


def test_drawn_slices_become_a_label_map_on_the_scans_grid(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    zs = held(truth, LIVER)
    guides = draw({zs[1]: [LIVER], zs[len(zs) // 2]: [LIVER], zs[-2]: [LIVER]})
    out = tmp_path / "new" / "liver.nii.gz"
    done = propagate_file(scan, guides, out, None, command=["slicekit", "propagate"])
    assert nibabel.load(out).affine == pytest.approx(nibabel.load(scan).affine)
    labels = read_labels(out, like=read_volume(scan)).array == LIVER
    both = (labels & (truth == LIVER)).sum()
    assert 2 * both / (labels.sum() + (truth == LIVER).sum()) > 0.8
    told = json.loads(done.sidecar.read_text())
    assert told["method"] == "interpolate"
    assert (told["scan"], told["scan_from_labels"]) == (str(scan), "../scan.nii.gz")
    assert (told["stamp"], told["warnings"]) == (stamp(scan), [])
    assert told["complete"] is True
    assert "labels" not in told  # nobody named the ids
    last = truth.shape[0] - 1  # the file counts from the head
    assert told["drawn"] == {"label_6": sorted(last - z for z in (zs[1], zs[len(zs) // 2], zs[-2]))}
    assert told["carried_slices"]["label_6"] == len(held(labels, 1)) - 3


def test_names_beside_the_guides_are_kept(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    zs = held(truth, LIVER)
    guides = draw({zs[2]: [LIVER]})
    names = {"labels": {"background": 0, "liver": LIVER, "spleen": SPLEEN}}
    guides.with_name("guides.json").write_text(json.dumps(names))
    done = propagate_file(scan, guides, tmp_path / "out.nii.gz", None)
    assert list(done.drawn) == ["liver"]
    assert json.loads(done.sidecar.read_text())["labels"] == {"background": 0, "liver": LIVER}


def test_an_id_without_a_name_is_refused(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    guides = draw({held(truth, LIVER)[2]: [LIVER]})
    guides.with_name("guides.json").write_text(json.dumps({"labels": {"spleen": SPLEEN}}))
    with pytest.raises(LabelError, match=r"holds the ids \[6\], which the guides.json near it"):
        propagate_file(scan, guides, tmp_path / "out.nii.gz", None)


def test_a_slice_that_was_looked_at_whole_ends_what_is_not_on_it(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    zs = held(truth, LIVER)
    middle = zs[len(zs) // 2]
    guides = draw({middle: [LIVER]})
    number = truth.shape[0] - 1 - (middle + 1)  # as the file counts, from the head
    options = CarryOptions(drawn_slices=(number,))
    propagate_file(scan, guides, tmp_path / "out.nii.gz", None, options=options)
    labels = read_labels(tmp_path / "out.nii.gz", like=read_volume(scan)).array
    assert not labels[middle + 1 :].any()
    assert labels[middle].any()
    assert labels[middle - 1].any()


def test_only_slices_of_the_range_are_answered(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    zs, last = held(truth, LIVER), truth.shape[0] - 1
    middle = zs[len(zs) // 2]
    guides = draw({middle: [LIVER], zs[0]: [LIVER]})
    options = CarryOptions(z_range=(last - middle - 1, last - middle + 1))
    with pytest.warns(DataWarning, match=rf"left out: \[{last - zs[0]}\]"):
        propagate_file(scan, guides, tmp_path / "out.nii.gz", None, options=options)
    labels = read_labels(tmp_path / "out.nii.gz", like=read_volume(scan)).array
    assert set(held(labels, LIVER)) <= {middle - 1, middle, middle + 1}


@pytest.mark.parametrize("axis", ["y", "x"])
def test_organs_drawn_along_another_axis_are_carried_along_it(
    scan: Path, truth: Any, axis: Any, tmp_path: Path
) -> None:
    number = "zyx".index(axis)
    centre = int(np.argwhere(truth == LIVER)[:, number].mean())
    labels = np.zeros_like(truth)
    at = tuple(centre if n == number else slice(None) for n in range(3))
    labels[at] = np.where(truth[at] == LIVER, LIVER, 0)
    guides = write_labels(tmp_path / "guides.nii.gz", labels, like=read_volume(scan))
    done = propagate_file(
        scan, guides, tmp_path / "out.nii.gz", None, options=CarryOptions(axis=axis)
    )
    assert done.carried["label_6"] > 2
    assert json.loads(done.sidecar.read_text())["axis"] == axis


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"drawn_slices": (99,)}, ShapeError, "no slice 99 along z; they go from 0 to 15"),
        ({"z_range": (3, 16)}, ShapeError, "no slice 16 along z"),
    ],
)
def test_slices_that_do_not_exist_are_refused(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path,
    options: dict[str, Any], error: type[Exception], message: str,
) -> None:  # fmt: skip
    guides = draw({held(truth, LIVER)[2]: [LIVER]})
    with pytest.raises(error, match=message):
        propagate_file(scan, guides, tmp_path / "out.nii.gz", None, options=CarryOptions(**options))
    assert not (tmp_path / "out.nii.gz").exists()


def test_guides_that_cannot_be_are_refused_before_anything_is_written(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    faults: list[tuple[Path, type[SlicekitError], str]] = []
    faults.append((draw({}, "empty"), LabelError, "no slice is drawn"))
    other = write_volume(
        tmp_path / "other.nii.gz", Volume(truth[:, :-1].astype(np.uint8), np.eye(4))
    )
    faults.append((other, GeometryError, "must lie on one grid"))
    faults.append((tmp_path / "none.nii.gz", ReadError, "does not exist"))
    (tmp_path / "bare").mkdir()
    faults.append((tmp_path / "bare", ReadError, "holds no mask"))
    for guides, error, message in faults:
        with pytest.raises(error, match=message):
            propagate_file(scan, guides, out, None)
    assert not out.exists()


def test_outputs_in_the_way_stay(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    guides = draw({held(truth, LIVER)[2]: [LIVER]})
    out = tmp_path / "out.nii.gz"
    out.write_bytes(b"mine")
    with pytest.raises(WriteError, match="exists already"):
        propagate_file(scan, guides, out, None)
    assert out.read_bytes() == b"mine"
    with pytest.raises(WriteError, match="input"):
        propagate_file(scan, guides, guides, None, options=CarryOptions(overwrite=True))
    done = propagate_file(scan, guides, out, None, options=CarryOptions(overwrite=True))
    assert done.complete


def test_an_interrupted_propagation_is_written_as_far_as_it_came(
    scan: Path, truth: Any, draw: Callable[..., Path], tmp_path: Path
) -> None:
    zs = held(truth, LIVER)
    guides = draw({zs[1]: [LIVER], zs[-2]: [LIVER]})

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    done = propagate_file(scan, guides, tmp_path / "out.nii.gz", None, progress=stop)
    assert not done.complete
    assert json.loads(done.sidecar.read_text())["complete"] is False
    labels = read_labels(tmp_path / "out.nii.gz", like=read_volume(scan)).array
    assert labels[zs[1] + 1].any()


@pytest.fixture
def pictures(phantoms: tuple[Any, ...], tmp_path: Path) -> tuple[Path, Path]:
    """A slice folder, and a folder with the masks of two of its slices."""
    slices, masks = tmp_path / "slices", tmp_path / "masks"
    slices.mkdir()
    masks.mkdir()
    image, truth = phantoms[0].image.array, phantoms[0].labels.array == LIVER
    zs = held(truth, 1)
    for z, plane in enumerate(image):
        gray = np.clip((plane.astype(float) + 125) / 400 * 255, 0, 255).astype(np.uint8)
        Image.fromarray(gray).save(slices / f"s_{z + 10:03d}.png")
        if z in (zs[1], zs[-2]):
            Image.fromarray(truth[z].astype(np.uint8) * 255).save(masks / f"s_{z + 10:03d}.png")
    return slices, masks


def test_a_folder_of_slices_gets_a_mask_for_every_slice(
    pictures: tuple[Path, Path], phantoms: tuple[Any, ...], tmp_path: Path
) -> None:
    slices, masks = pictures
    with pytest.warns(DataWarning, match="1 x 1 x 1 mm"):
        done = propagate_folder(slices, masks, tmp_path / "out", model=None)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == sorted(path.name for path in slices.iterdir())
    truth = phantoms[0].labels.array == LIVER
    zs = held(truth, 1)
    found = np.stack([np.asarray(Image.open(tmp_path / "out" / name)) for name in names]) == 255
    both = (found & truth).sum()
    assert 2 * both / (found.sum() + truth.sum()) > 0.75
    assert done.drawn == {"label_255": [zs[1] + 10, zs[-2] + 10]}  # numbers of the file names
    assert done.volumes_ml == {"label_255": None}  # nobody knows the spacing
    assert done.voxels == {"label_255": int(found.sum())}


def test_an_empty_mask_in_the_folder_ends_the_organ(
    pictures: tuple[Path, Path], phantoms: tuple[Any, ...], tmp_path: Path
) -> None:
    slices, masks = pictures
    zs = held(phantoms[0].labels.array == LIVER, 1)
    empty = np.zeros(phantoms[0].image.shape[1:], np.uint8)
    Image.fromarray(empty).save(masks / f"s_{zs[-1] + 10:03d}.png")
    done = propagate_folder(
        slices, masks, tmp_path / "out", model=None, spacing_mm=(10.0, 6.0, 6.0)
    )
    assert done.drawn["label_255"][-1] == zs[-1] + 10
    last = np.asarray(Image.open(tmp_path / "out" / f"s_{zs[-1] + 10:03d}.png"))
    assert not last.any()
