"""What was drawn becomes a dataset of the wanted organs alone; what nobody looked at is unknown."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slicekit.data.cases import find_cases
from slicekit.data.drawn import find_drawn
from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.data.truth import read_truth
from slicekit.errors import DatasetError, DataWarning, WriteError
from slicekit.io import read_labels, read_volume, write_labels, write_volume
from slicekit.labels import IGNORE_ID
from slicekit.training.finetune.dataset import NewDataset, make_dataset

WANTED = ("left_kidney", "right_kidney")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., NewDataset]:
    """Make a dataset of what lies in a folder; no spacing of slices is told."""

    def made(data: Path, *organs: str, **options: Any) -> NewDataset:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*slices know no place")
            return make_dataset(find_drawn(data, organs), tmp_path / "out", **options)

    return made


@pytest.fixture
def drawn(phantoms: Any, tmp_path: Path) -> Callable[..., Path]:
    """Lay out a dataset: name to label map, to ``None`` for none; keywords are splits.json."""

    def lay(labels: dict[str, Any], **splits: list[str]) -> Path:
        root = tmp_path / "data"
        for (name, array), made in zip(labels.items(), phantoms, strict=False):
            write_volume(root / "imagesTr" / f"{name}.nii.gz", made.image)
            if array is not None:
                write_labels(root / "labelsTr" / f"{name}.nii.gz", array, like=made.image)
        ids = {"background": 0, **PHANTOM_LABELS.ids, "ignore": 99}
        (root / "dataset.json").write_text(json.dumps({"labels": ids}))
        if splits:
            (root / "splits.json").write_text(json.dumps(splits))
        return root

    return lay


@pytest.fixture
def slices(tmp_path: Path) -> Callable[..., Path]:
    """Lay out twelve slices of noise, and masks: slice to a mask ``(y, x)``."""

    def lay(masks: dict[int, Any], name: str = "scan", count: int = 12) -> Path:
        root = tmp_path / "slices" / name
        rng = np.random.default_rng(0)
        for z in range(count):
            save(root / "images" / f"s{z:03d}.png", rng.integers(0, 255, (32, 40), np.uint8))
        for z, mask in masks.items():
            save(root / "masks" / f"s{z:03d}.png", mask)
        return root.parent

    return lay


def save(file: Path, array: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def square(value: int) -> Any:
    mask = np.zeros((32, 40), np.uint8)
    mask[8:20, 10:25] = value
    return mask


def truth_of(made: NewDataset, name: str) -> Any:
    """Return the labels of a case as training reads them."""
    case = next(case for case in find_cases(made.folder).cases if case.name == name)
    assert case.labels is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        image = read_volume(case.image)
        return read_truth(case.labels, case, image=image, organs=made.organs)


def test_organs_are_numbered_anew_and_scans_are_links(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    array = phantoms[0].labels.array.copy()
    array[:, 0] = 99
    data = drawn({"a": array, "b": None})
    made = make(data, *WANTED)
    assert made.organs.ids == {"right_kidney": 1, "left_kidney": 2}
    assert (made.unlabelled, made.held_out) == (("b",), ())
    found = truth_of(made, "a").labels.array
    for name, number in made.organs.ids.items():
        organ = array == PHANTOM_LABELS.id_of(name)
        np.testing.assert_array_equal(found == number, organ)
        assert made.drawn["a"][name] == organ.any(axis=(1, 2)).sum()
    np.testing.assert_array_equal(found == IGNORE_ID, array == 99)
    image = made.folder / "imagesTr" / "a.nii.gz"
    assert image.is_symlink() and image.resolve() == data / "imagesTr" / "a.nii.gz"
    assert made.first_image == data / "imagesTr" / "a.nii.gz"
    dataset = find_cases(made.folder)
    assert dataset.splits == {"train": ("a",), "val": (), "unlabelled": ("b",)}
    assert dict(dataset.labels.ids) == dict(made.organs.ids)
    assert not any(case.is_partial for case in dataset.cases)


def test_organs_that_nobody_looked_for_stay_unknown(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    arrays = [made.labels.array for made in phantoms]
    left = PHANTOM_LABELS.id_of("left_kidney")
    part = np.where(arrays[1] == left, left, 0).astype(np.uint8)
    data = drawn({"a": arrays[0], "b": part, "c": np.zeros_like(part), "d": part}, val=["c", "d"])
    said = {"b": {"labels_present": ["left_kidney"]}, "c": {"labels_present": ["liver"]}}
    said["d"] = {"labels_present": ["left_kidney"]}
    (data / "annotations.json").write_text(json.dumps(said))
    made = make(data, *WANTED)
    cases = {case.name: case for case in find_cases(made.folder).cases}
    assert set(cases) == {"a", "b", "d"}  # c is held out, so nothing is learnt from it either
    assert cases["a"].labels_present is None
    assert cases["b"].labels_present == cases["d"].labels_present == {"left_kidney"}
    assert (made.unlabelled, made.held_out) == ((), ("d",))


def test_labels_that_are_all_of_other_organs_are_refused(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    liver = np.where(phantoms[0].labels.array == PHANTOM_LABELS.id_of("liver"), 6, 0)
    data = drawn({"a": liver.astype(np.uint8)})
    (data / "annotations.json").write_text('{"a": {"labels_present": ["liver"]}}')
    with pytest.raises(DatasetError, match="right_kidney, left_kidney: drawn on no slice of 1"):
        make(data, *WANTED)
    assert not (data.parent / "out" / "dataset.json").exists()


def test_a_scan_without_the_organ_was_not_looked_at_unless_somebody_says_so(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    arrays = [made.labels.array for made in phantoms]
    kidneys = [PHANTOM_LABELS.id_of(name) for name in WANTED]
    none = np.where(np.isin(arrays[1], kidneys), 0, arrays[1]).astype(np.uint8)
    data = drawn({"a": arrays[0], "b": none})
    with pytest.warns(DataWarning, match=r"not drawn on b, which are taken for .* say --whole"):
        assert make(data, *WANTED).unlabelled == ("b",)
    made = make(data, *WANTED, few_slices=False)
    assert made.unlabelled == () and made.drawn["b"] == dict.fromkeys(made.organs.names, 0)
    assert not truth_of(made, "b").labels.array.any()
    (data / "annotations.json").write_text(
        json.dumps({"b": {"labels_present": [*PHANTOM_LABELS.names]}})
    )
    assert "b" in make(data, *WANTED).drawn


def sparse(array: Any, kept: list[int]) -> Any:
    """Keep the liver on some slices."""
    found = np.zeros_like(array)
    found[kept] = np.where(array[kept] == PHANTOM_LABELS.id_of("liver"), 6, 0)
    return found


def liver_slices(phantom: Any) -> list[int]:
    where = (phantom.labels.array == PHANTOM_LABELS.id_of("liver")).any(axis=(1, 2))
    return [int(z) for z in np.flatnonzero(where)]


def test_single_slices_are_taken_for_all_that_was_looked_at(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    first, *_, last = liver_slices(phantoms[0])
    data = drawn({"a": sparse(phantoms[0].labels.array, [first, last])})
    with pytest.warns(DataWarning, match=r"2 single slices are drawn, .* say --whole"):
        made = make(data, "liver")
    found = truth_of(made, "a").labels.array
    seen = np.flatnonzero((found != IGNORE_ID).any(axis=(1, 2)))
    assert seen.tolist() == [first, last]
    made = make(data, "liver", few_slices=False)
    assert not (truth_of(made, "a").labels.array == IGNORE_ID).any()


def test_one_slice_alone_is_a_single_one(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    data = drawn({"a": sparse(phantoms[0].labels.array, liver_slices(phantoms[0])[2:3])})
    with pytest.warns(DataWarning, match="1 single slice is drawn"):
        made = make(data, "liver")
    assert (truth_of(made, "a").labels.array != IGNORE_ID).any(axis=(1, 2)).sum() == 1


def test_an_organ_without_gaps_was_drawn_whole_unless_somebody_says_otherwise(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    held = liver_slices(phantoms[0])
    data = drawn({"a": sparse(phantoms[0].labels.array, held[1::2])})  # every other slice
    made = make(data, "liver")
    assert not (truth_of(made, "a").labels.array == IGNORE_ID).any()
    made = make(data, "liver", few_slices=True)
    seen = (truth_of(made, "a").labels.array != IGNORE_ID).any(axis=(1, 2))
    assert np.flatnonzero(seen).tolist() == held[1::2]


def test_slices_that_somebody_says_were_annotated_are_believed(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    first, *_, last = liver_slices(phantoms[0])
    data = drawn({"a": sparse(phantoms[0].labels.array, [first, last])})
    said = {"a": {"annotated_slices": [0, first, last]}}
    (data / "annotations.json").write_text(json.dumps(said))
    made = make(data, "liver")  # and no warning
    found = truth_of(made, "a").labels.array
    seen = np.flatnonzero((found != IGNORE_ID).any(axis=(1, 2)))
    assert seen.tolist() == [0, first, last]
    assert not found[0].any()


def test_masks_of_slices_may_have_the_value_of_the_unknown(
    make: Callable[..., NewDataset], slices: Callable[..., Path]
) -> None:
    masks = {z: square(255 if 3 <= z < 9 else 127) for z in range(12)}
    made = make(slices(masks), "lesion=255", "left lobe=127")
    assert made.organs.ids == {"left lobe": 1, "lesion": 2}
    found = truth_of(made, "scan").labels.array
    assert [int(plane.max()) for plane in found] == [1] * 3 + [2] * 6 + [1] * 3
    assert not (found == IGNORE_ID).any()
    np.testing.assert_array_equal(found[4] == 2, square(1) == 1)
    lesion = make(slices(masks), "lesion=255")
    assert lesion.drawn == {"scan": {"lesion": 6}}


def test_a_slice_without_a_mask_was_not_looked_at(
    make: Callable[..., NewDataset], slices: Callable[..., Path]
) -> None:
    made = make(slices({2: square(255), 5: square(0), 9: square(255)}), "lesion=255")
    found = truth_of(made, "scan").labels.array
    seen = np.flatnonzero((found != IGNORE_ID).any(axis=(1, 2)))
    assert seen.tolist() == [2, 5, 9]
    assert [bool(found[z].any()) for z in seen] == [True, False, True]


def test_a_value_that_no_mask_has_is_refused_with_those_there_are(
    make: Callable[..., NewDataset], slices: Callable[..., Path]
) -> None:
    data = slices(dict.fromkeys(range(12), square(127)))
    with pytest.raises(DatasetError, match=r"lesion: drawn on no slice .* hold the values 127"):
        make(data, "lesion=255", few_slices=False)


def test_scans_of_slices_keep_their_names_with_masks_or_without(
    make: Callable[..., NewDataset], slices: Callable[..., Path]
) -> None:
    masks = dict.fromkeys(range(12), square(255))
    for name, drawn_on in (("p_0000", {}), ("p_0001", masks), ("q", {})):
        data = slices(drawn_on, name)
    made = make(data, "lesion=255")
    assert sorted(made.unlabelled) == ["p_0000", "q"]
    assert [case.name for case in find_cases(made.folder).cases] == ["p_0000", "p_0001", "q"]


def test_what_lay_there_before_is_replaced_and_equal_drawings_give_equal_files(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any
) -> None:
    data = drawn({"a": phantoms[0].labels.array, "b": None})
    folder = make(data, *WANTED).folder
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    (folder / "labelsTr" / "stray.nii.gz").touch()
    (folder / "imagesTr" / "stray.nii.gz").touch()
    make(data, *WANTED)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_dataset_that_could_not_be_finished_is_none(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any, tmp_path: Path
) -> None:
    data = drawn({"a": phantoms[0].labels.array, "b": phantoms[1].labels.array})
    make(data, *WANTED)
    (data / "labelsTr" / "b.nii.gz").write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"b.nii.gz"):
        make(data, *WANTED)
    with pytest.raises(DatasetError, match=r"dataset.json is missing"):
        find_cases(tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_told(
    make: Callable[..., NewDataset], drawn: Callable[..., Path], phantoms: Any, tmp_path: Path
) -> None:
    data = drawn({"a": phantoms[0].labels.array})
    (tmp_path / "out").touch()
    with pytest.raises(WriteError, match="out"):
        make(data, *WANTED)


def test_real_slices_and_masks_make_a_dataset(
    make: Callable[..., NewDataset], shared_data: Path
) -> None:
    made = make(shared_data / "slice_folders", "lesion=255")
    assert made.drawn == {"lits_00": {"lesion": 16}, "lits_01": {"lesion": 17}}
    source = shared_data / "slice_folders" / "lits_00"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        masks = read_labels(source / "masks", like=read_volume(source / "images"))
    found = truth_of(made, "lits_00").labels.array
    np.testing.assert_array_equal(found, masks.array == 255)
