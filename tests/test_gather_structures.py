"""Datasets laid out for the propagator are ones that training accepts, with scans held out."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from slicekit.data.cases import Dataset, find_cases, training_split
from slicekit.io import read_labels, read_volume

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gather_structures.py"


@pytest.fixture(scope="module")
def gather(shared_data: Path) -> Iterator[Callable[[Path], None]]:
    """Run the script as its user does."""

    def run(out: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            words = ["--shared", str(shared_data), "--out", str(out)]
            patch.setattr(sys, "argv", [SCRIPT.name, *words])
            runpy.run_path(str(SCRIPT), run_name="__main__")

    yield run


@pytest.fixture(scope="module")
def gathered(
    gather: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Dataset]:
    """Folder name to what is found there."""
    out = tmp_path_factory.mktemp("gathered")
    gather(out)
    return {path.name: find_cases(path) for path in sorted(out.iterdir())}


def split(dataset: Dataset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the cases to learn from and of those that are held out, as training chooses."""
    groups = ("train", "val") if dataset.splits else (None, None)
    teach, _, apart = training_split(
        dataset, labelled=groups[0], unlabelled=None, held_out=groups[1]
    )
    return tuple(case.name for case in teach), tuple(case.name for case in apart)


def test_every_folder_is_a_dataset_whose_cases_are_labelled(gathered: dict[str, Dataset]) -> None:
    assert set(gathered) == {
        "abdomen_ct", "abdomen_mr", "cardiac_mr", "totalseg_ct", "amos_0013", "lits_00", "lits_01",
    }  # fmt: skip
    for dataset in gathered.values():
        teach, _ = split(dataset)
        assert teach
        for case in dataset.cases:
            assert case.image.is_file()
            assert case.labels is not None and case.labels.is_file()


def test_four_scans_of_mr_are_held_out_and_nothing_is_learned_from_them(
    gathered: dict[str, Dataset],
) -> None:
    teach, apart = split(gathered["abdomen_mr"])
    assert len(apart) == 4
    assert not set(teach) & set(apart)
    assert set(teach) | set(apart) == {case.name for case in gathered["abdomen_mr"].cases}


def test_what_the_ct_dataset_holds_out_stays_so(
    gathered: dict[str, Dataset], shared_data: Path
) -> None:
    theirs = json.loads((shared_data / "abdomen_ct" / "splits.json").read_text())
    teach, apart = split(gathered["abdomen_ct"])
    assert sorted(apart) == sorted(theirs["val"])
    assert sorted(teach) == sorted(theirs["train"])


def test_no_scan_that_is_held_out_is_learned_from_in_another_folder(
    gathered: dict[str, Dataset],
) -> None:
    held, taught = set(), set()
    for dataset in gathered.values():
        teach, apart = split(dataset)
        files = {case.name: case.image.resolve() for case in dataset.cases}
        held |= {files[name] for name in apart}
        taught |= {files[name] for name in teach}
    assert held and not held & taught


def test_scans_are_links_to_the_shared_ones(
    gathered: dict[str, Dataset], shared_data: Path
) -> None:
    for name in ("abdomen_ct", "abdomen_mr", "cardiac_mr", "totalseg_ct", "amos_0013"):
        for case in gathered[name].cases:
            for path in (case.image, case.labels):
                assert path.is_symlink()
                assert path.resolve().is_relative_to(shared_data.resolve())


@pytest.mark.parametrize("name", ["totalseg_ct", "amos_0013"])
def test_a_single_scan_names_every_structure_it_holds(
    gathered: dict[str, Dataset], name: str
) -> None:
    (case,) = gathered[name].cases
    held = set(np.unique(np.asanyarray(nibabel.load(case.labels).dataobj)).tolist()) - {0}
    assert set(gathered[name].labels.ids.values()) == held
    assert len(held) > 5


@pytest.mark.parametrize("name", ["lits_00", "lits_01"])
def test_pictures_become_a_scan_with_liver_and_lesions(
    gathered: dict[str, Dataset], shared_data: Path, name: str
) -> None:
    (case,) = gathered[name].cases
    image = read_volume(case.image)
    ids = read_labels(case.labels, like=image)
    pictures = list((shared_data / "slice_folders" / name / "images").iterdir())
    assert image.shape[0] == len(pictures)
    assert image.spacing_mm == pytest.approx((3.0, 0.75, 0.75))
    assert 1 in np.unique(ids.array) and set(np.unique(ids.array).tolist()) <= {0, 1, 2}
    pixels = read_volume(shared_data / "slice_folders" / name / "images", spacing_mm=(3, 1, 1))
    assert sorted(image.array.sum(axis=(1, 2)).tolist()) == sorted(
        pixels.array.sum(axis=(1, 2), dtype=np.int64).tolist()
    )


def test_laying_out_again_changes_neither_the_result_nor_the_shared_data(
    gather: Callable[[Path], None], gathered: dict[str, Dataset], shared_data: Path
) -> None:
    root = gathered["abdomen_mr"].folder.parent
    shared = [p for p in shared_data.rglob("*") if p.is_file()]
    before = {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in shared}
    gather(root)
    assert {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in shared} == before
    for name, dataset in gathered.items():
        assert find_cases(root / name) == dataset
