"""The uncertainty of one scan in files: the map, the figures by organ, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from slicekit.errors import RecipeError, WriteError
from slicekit.inference.model import Model, load_model
from slicekit.io import write_volume
from slicekit.networks import Committee
from slicekit.report import case
from slicekit.report.case import SegmentOptions, segment_file
from slicekit.runtime import Runtime

UNSURE = SegmentOptions(uncertainty=True)
FIGURES = {"agreement", "certainty", "agreement_with_reference"}


@pytest.fixture(scope="module")
def model(trial_models: Path) -> Model:
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    return load_model(trial_models / "trial_reference.toml", runtime)


@pytest.fixture
def scan(phantoms: Any, tmp_path: Path) -> Path:
    return write_volume(tmp_path / "in" / "scan.nii.gz", phantoms[0].image)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "segment_volume", lambda *_, **__: pytest.fail("it was computed"))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_map_lies_beside_the_labels_and_figures_in_the_statistics(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "x.nii.gz"
    files = segment_file(scan, out, model, options=replace(UNSURE, preview=True))
    assert names_in(out.parent) == {
        "x.nii.gz", "x.json", "x_stats.json", "x_preview.png", "x_uncertainty.nii.gz"
    }  # fmt: skip
    assert files.uncertainty == out.parent / "x_uncertainty.nii.gz"
    found, theirs = nibabel.load(files.uncertainty), nibabel.load(scan)
    assert found.affine.tobytes() == theirs.affine.tobytes()
    values = found.get_fdata()
    assert values.shape == theirs.shape
    assert 0 <= values.min() < values.max() <= 1
    side = json.loads(files.sidecar.read_text())
    assert side["uncertainty"] == "x_uncertainty.nii.gz"
    assert "uncertainty" in side["seconds"]
    labels = np.asarray(nibabel.load(out).dataobj)
    measured = json.loads(files.statistics.read_text())["organs"]
    seen = 0
    for organ, number in model.recipe.labels.ids.items():
        assert measured[organ].keys() >= FIGURES
        assert 0 <= measured[organ]["agreement"] < 1  # random networks never agree
        inside = values[labels == number]
        if inside.size:
            seen += 1
            assert measured[organ]["certainty"] == pytest.approx(1 - inside.mean(), abs=0.004)
            assert 0 <= measured[organ]["agreement_with_reference"] <= 1
        else:
            assert measured[organ]["certainty"] is None
    assert seen


def test_without_being_asked_nothing_is_added(model: Model, scan: Path, tmp_path: Path) -> None:
    out, quick = tmp_path / "out" / "x.nii.gz", replace(model, propagator=None)
    segment_file(scan, out, quick, options=UNSURE)
    files = segment_file(scan, out, quick, options=SegmentOptions(overwrite=True))
    assert names_in(out.parent) == {"x.nii.gz", "x.json", "x_stats.json"}  # no stale map stays
    assert files.uncertainty is None
    assert json.loads(files.sidecar.read_text())["uncertainty"] is None
    measured = json.loads(files.statistics.read_text())["organs"]
    assert not any(FIGURES & organ.keys() for organ in measured.values())


def test_one_network_alone_agrees_with_nobody(model: Model, scan: Path, tmp_path: Path) -> None:
    first = model.reference._modules["a"]
    alone = replace(model, reference=Committee(first).eval(), propagator=None)
    files = segment_file(scan, tmp_path / "x.nii", alone, options=UNSURE)
    assert files.uncertainty == tmp_path / "x_uncertainty.nii.gz"
    assert nibabel.load(files.uncertainty).get_fdata().any()
    measured = json.loads(files.statistics.read_text())["organs"]
    assert all(organ["agreement"] is None for organ in measured.values())
    assert all(organ["agreement_with_reference"] is None for organ in measured.values())
    assert any(organ["certainty"] for organ in measured.values())


@pytest.mark.usefixtures("idle")
def test_what_is_in_the_way_is_refused_before_computing(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    blocked, out = tmp_path / "x_uncertainty.nii.gz", tmp_path / "x.nii.gz"
    blocked.write_text("of somebody")
    with pytest.raises(WriteError, match=r"x_uncertainty\.nii\.gz: exists already"):
        segment_file(scan, out, model, options=UNSURE)
    assert blocked.read_text() == "of somebody"
    blocked.unlink()
    blocked.mkdir()
    for options in (UNSURE, SegmentOptions()):
        with pytest.raises(WriteError, match=r"x_uncertainty\.nii\.gz: is a folder"):
            segment_file(scan, out, model, options=replace(options, overwrite=True))
    with pytest.raises(WriteError, match="is the input itself"):
        other = write_volume(tmp_path / "y_uncertainty.nii.gz", nothing())
        segment_file(other, tmp_path / "y.nii.gz", model, options=SegmentOptions(overwrite=True))


def nothing() -> Any:
    from slicekit.volume import Volume

    return Volume(np.zeros((2, 8, 8), np.int16), np.diag([5.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]])


@pytest.mark.usefixtures("idle")
def test_a_volumetric_model_and_a_folder_of_masks_are_refused_at_the_door(
    model: Model, trial_models: Path, scan: Path, tmp_path: Path
) -> None:
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    solid = load_model(trial_models / "trial_volumetric.toml", runtime)
    with pytest.raises(RecipeError, match="leave --uncertainty out"):
        segment_file(scan, tmp_path / "x.nii.gz", solid, options=UNSURE)
    with pytest.raises(WriteError, match=r"masks: .*end the name in \.nii\.gz, or leave --unc"):
        segment_file(scan, tmp_path / "masks", model, options=UNSURE)
    assert names_in(tmp_path) == {"in"}


def test_a_slice_folder_has_a_map_beside_nifti_labels(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for z in range(3):
        plane = rng.integers(60, 200, (48, 64), dtype=np.uint8)
        plane[:4] = 0  # air
        Image.fromarray(plane).save(folder / f"{z}.png")
    options = replace(UNSURE, gray_range=(-125, 275), spacing_mm=(5.0, 6.0, 6.0))
    files = segment_file(folder, tmp_path / "x.nii.gz", model, options=options)
    found, labels = nibabel.load(files.uncertainty), nibabel.load(files.labels)
    assert found.shape == labels.shape == (64, 48, 3)
    np.testing.assert_allclose(found.affine, labels.affine)
    assert found.get_fdata().any()
