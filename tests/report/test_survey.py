"""A look at many scans: which slices, how files count them, and scans that cannot be read."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from slicekit.data.cases import Case
from slicekit.errors import ReadError
from slicekit.inference.model import Model, load_model
from slicekit.io import read_volume
from slicekit.report import survey as module
from slicekit.report.survey import survey
from slicekit.runtime import Runtime


@pytest.fixture(scope="module")
def model(trial_models: Path) -> Model:
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    return load_model(trial_models / "trial_reference.toml", runtime, propagator=False)


@pytest.fixture
def cases(scans: Path) -> tuple[Case, ...]:
    return tuple(Case(name, scans / f"{name}.nii.gz", None) for name in "ab")


def test_every_scan_is_looked_at_evenly(model: Model, cases: tuple[Case, ...]) -> None:
    told: list[tuple[int, int]] = []
    found = survey(cases, model, every_mm=30.0, told=lambda *of: told.append(of))
    assert [(one.case, one.z) for one in found.doubts] == [
        (case, z) for case in "ab" for z in (0, 3, 6, 9, 12, 15)
    ]
    assert told == [(1, 2), (2, 2)]
    assert [one.z_mm for one in found.of("b")] == [0, 30, 60, 90, 120, 150]
    assert [one.z for one in found.of("b", 6)] == [6]
    assert {one.members for one in found.doubts} == {2}
    assert all(sum(one.disagreement_px.values()) > 0 for one in found.doubts)
    assert (found.known, found.failures) == (frozenset(), {})


def test_slices_are_counted_as_the_file_does(
    model: Model, cases: tuple[Case, ...], tmp_path: Path
) -> None:
    """The file runs from head to foot, the volume from foot to head."""
    image = nibabel.load(cases[0].image)
    turned = image.slicer[:, :, ::-1]
    nibabel.save(turned, tmp_path / "turned.nii.gz")
    case = Case("t", tmp_path / "turned.nii.gz", None, annotated_slices=(1, 11))
    found = survey([case], model, every_mm=30.0)
    plain = survey(cases[:1], model, every_mm=30.0)
    assert found.known == {("t", 14), ("t", 4)}
    assert [one.z for one in found.doubts] == [0, 3, 4, 6, 9, 12, 14, 15]
    assert all(found.stored["t", one.z] == 15 - one.z for one in found.doubts)
    np.testing.assert_array_equal(read_volume(case.image).array, read_volume(cases[0].image).array)
    assert found.of("t", 6)[0].entropy_px == pytest.approx(plain.of("a", 6)[0].entropy_px)


def test_a_scan_that_cannot_be_read_is_told_and_the_others_go_on(
    model: Model, cases: tuple[Case, ...], tmp_path: Path
) -> None:
    broken = Case("x", tmp_path / "x.nii.gz", None)
    broken.image.write_bytes(gzip.compress(b"no scan"))
    outside = replace(cases[0], name="y", annotated_slices=(2, 16))
    found = survey([broken, outside, cases[1]], model, every_mm=50.0)
    assert {one.case for one in found.doubts} == {"b"}
    assert list(found.failures) == ["x", "y"]
    assert str(broken.image) in found.failures["x"]
    assert "its slices go from 0 to 15, but the annotated_slices of y" in found.failures["y"]
    assert not found.known
    with pytest.raises(ReadError, match=r"x\.nii\.gz"):
        survey([broken], model, every_mm=50.0)


def test_faults_of_the_program_are_not_passed_over(
    model: Model, cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fault: Exception) -> Any:
        def read(*_: object) -> None:
            raise fault

        return read

    monkeypatch.setattr(module, "read_volume", fail(TypeError("a bug")))
    with pytest.raises(TypeError, match="a bug"):
        survey(cases, model, every_mm=50.0)
    whole = read_volume(cases[1].image)
    few = [MemoryError()]
    monkeypatch.setattr(module, "read_volume", lambda _: whole if not few else fail(few.pop())())
    assert list(survey(cases, model, every_mm=50.0).failures) == ["a"]
