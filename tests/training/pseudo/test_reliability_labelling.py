"""Cases 1, 34 and 36 of the list of fault cases, while scans are labelled."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import numpy as np
import pytest

from slicekit.data.cases import find_cases
from slicekit.errors import BudgetError, DatasetError, SlicekitError, WriteError
from slicekit.io import read_labels
from slicekit.training.pseudo import labelling


@contextmanager
def files_up_to(size):
    """A full disk, as far as one file can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.fixture
def noisy(boxes, patients):
    """The case odd, with labels that do not compress: some 10 kB, more than any other file."""
    labels = patients.labels()
    noise = np.random.default_rng(0).integers(0, 4, (16, 30, 30), dtype=np.uint8)
    labels.array[:, 16:46, 16:46] = noise
    patients.write(boxes, "odd", labels, labelled=False)
    return labels


def test_case_01_a_damaged_scan_is_told_and_the_others_go_on(label, boxes):
    damaged = boxes / "imagesTr" / "odd_0000.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    made = label()
    assert made.failures.keys() == {"odd"}
    assert f"{damaged}: is damaged" in made.failures["odd"] or "truncated" in made.failures["odd"]
    assert made.judgements.keys() == made.facts.keys() == made.cases.keys() == {"sound"}
    dataset = find_cases(made.folder)
    assert {case.name for case in dataset.cases} == {"one", "two", "sound"}
    assert dataset.splits["unlabelled"] == ()


def test_case_01_where_none_can_be_labelled_there_is_no_dataset(label, boxes, tmp_path):
    for name in ("odd", "sound"):
        (boxes / "imagesTr" / f"{name}_0000.nii.gz").write_text("no scan")
    with pytest.raises(DatasetError, match=r"none of 2 scans could be labelled: .*odd_0000"):
        label()
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_case_34_a_disk_that_is_full_from_the_start(label, tmp_path):
    with files_up_to(10), pytest.raises(WriteError, match=r"about\.json.*free some space"):
        label()
    assert files_in(tmp_path / "out") == []
    assert len(find_cases(label().folder).cases) == 4


def test_case_34_a_full_disk_while_a_prediction_is_written(label, noisy, predicted, tmp_path):
    out = tmp_path / "out"
    with files_up_to(6000), pytest.raises(WriteError, match=r"odd\.nii\.gz.*free some space"):
        label()
    assert files_in(out) == ["pseudo/about.json", "pseudo/prior.json"]
    with pytest.raises(DatasetError):
        find_cases(out)
    made = label(rules=["voxels>=1"])
    assert predicted == ["odd", "odd", "sound"]
    found = read_labels(made.folder / "labelsTr" / "odd.nii.gz")
    assert np.array_equal(found.array, noisy.array)


@pytest.mark.filterwarnings("ignore:.*nothing was accepted")
def test_case_34_a_full_disk_while_accepted_labels_are_written(label, noisy, predicted, tmp_path):
    out = tmp_path / "out"
    label(rules=["voxels>=1e6"])
    assert len(find_cases(out).cases) == 4
    with files_up_to(6000), pytest.raises(WriteError, match=r"labelsTr/odd\.nii\.gz.*free some"):
        label(rules=["voxels>=1"])
    assert not (out / "labelsTr" / "odd.nii.gz").exists()
    with pytest.raises(DatasetError, match="is missing"):
        find_cases(out)
    label(rules=["voxels>=1"])
    assert find_cases(out).splits["pseudo"] == ("odd", "sound")
    assert np.array_equal(read_labels(out / "labelsTr" / "odd.nii.gz").array, noisy.array)
    assert predicted == ["odd", "sound"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (BudgetError("the budget is too small"), "the budget is too small"),
    ],
)
def test_case_36_a_scan_too_large_for_the_memory_does_not_end_the_others(
    label, monkeypatch, fault, said
):
    usual = labelling.predict_scan

    def predict(scan, model, *, name, **options):
        if "odd" in name:
            raise fault
        return usual(scan, model, name=name, **options)

    monkeypatch.setattr(labelling, "predict_scan", predict)
    made = label()
    assert said in made.failures["odd"]
    assert made.facts.keys() == {"sound"}


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_scan(label, monkeypatch):
    def predict(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(labelling, "predict_scan", predict)
    with pytest.raises(ZeroDivisionError):
        label()
    assert not issubclass(ZeroDivisionError, SlicekitError)
