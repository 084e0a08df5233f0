"""One scan from file to files: what is written, refused, and left by an interruption."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from slicekit.errors import DataWarning, LabelError, ReadError, SlicekitError, WriteError
from slicekit.inference.model import Model, load_model
from slicekit.io import read_labels, read_volume, write_volume
from slicekit.report import case
from slicekit.report.case import SegmentOptions, segment_file
from slicekit.report.made import find_labels
from slicekit.report.statistics import statistics
from slicekit.runtime import Runtime

AGAIN = SegmentOptions(overwrite=True)


@pytest.fixture(scope="module")
def model(trial_models: Path) -> Model:
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    return load_model(trial_models / "trial_reference.toml", runtime)


@pytest.fixture
def scan(phantoms: Any, tmp_path: Path) -> Path:
    return write_volume(tmp_path / "in" / "scan.nii.gz", phantoms[0].image)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail as soon as anything is computed."""
    monkeypatch.setattr(case, "segment_volume", lambda *_, **__: pytest.fail("it was computed"))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_labels_sidecar_statistics_and_picture_are_written(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder" / "x.nii.gz"
    files = segment_file(
        scan, out, model, options=SegmentOptions(preview=True), command=["infer.py", "scan"]
    )
    assert names_in(out.parent) == {"x.nii.gz", "x.json", "x_stats.json", "x_preview.png"}
    assert [files.labels, files.sidecar, files.statistics, files.preview] == [
        out.parent / name for name in ("x.nii.gz", "x.json", "x_stats.json", "x_preview.png")
    ]
    ours, theirs = nibabel.load(out), nibabel.load(scan)
    assert ours.shape == theirs.shape
    assert ours.affine.tobytes() == theirs.affine.tobytes()
    side = json.loads(files.sidecar.read_text())
    assert side["labels"] == {"background": 0, "liver": 1, "spleen": 2, "aorta": 3}
    assert (side["model"], side["propagator"]) == ("trial_reference", "trial_propagator")
    assert side["weights_sha256"] == model.sha256
    assert (side["command"], side["scan"]) == (["infer.py", "scan"], str(scan))
    assert side["licence"] == "none"
    stages = {"read", "prepare", "reference", "select", "propagate", "write", "report"}
    assert side["seconds"].keys() == files.seconds.keys() == stages
    assert {"z", "organs", "absent", "reason"} <= side["guides"][0].keys()
    assert [guide["z"] for guide in side["guides"]] == sorted(g["z"] for g in side["guides"])
    with Image.open(files.preview) as picture:
        assert min(picture.size) > 200


def test_a_volumetric_model_leaves_the_same_files_and_no_guides(
    trial_models: Path, scan: Path, tmp_path: Path
) -> None:
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    solid = load_model(trial_models / "trial_volumetric.toml", runtime)
    files = segment_file(scan, tmp_path / "x.nii.gz", solid, options=SegmentOptions(preview=True))
    side = json.loads(files.sidecar.read_text())
    assert (side["model"], side["propagator"], side["guides"]) == ("trial_volumetric", None, [])
    assert side["seconds"].keys() == {"read", "prepare", "reference", "write", "report"}
    assert side["weights_sha256"] == solid.sha256
    labels = read_labels(files.labels, like=read_volume(scan))
    measured = json.loads(files.statistics.read_text())["organs"]
    assert measured == statistics(labels, solid.recipe.labels, image=read_volume(scan))
    assert any(organ["voxels"] for organ in measured.values())
    with Image.open(files.preview) as picture:
        assert min(picture.size) > 200


def test_statistics_are_those_of_the_labels(model: Model, scan: Path, tmp_path: Path) -> None:
    files = segment_file(scan, tmp_path / "x.nii", model)
    image = read_volume(scan)
    labels = read_labels(files.labels, like=image)
    written = json.loads(files.statistics.read_text())
    assert written["organs"] == statistics(labels, model.recipe.labels, image=image)
    assert written["spacing_known"] is True
    np.testing.assert_allclose(written["spacing_mm"], image.spacing_mm, rtol=1e-6)
    assert files.volumes_ml == {k: v["volume_ml"] for k, v in written["organs"].items()}
    assert labels.array.any()


def test_sidecar_names_only_the_organs_that_were_kept(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    files = segment_file(scan, tmp_path / "x.nii", model, options=SegmentOptions(organs=("aorta",)))
    assert json.loads(files.sidecar.read_text())["labels"] == {"background": 0, "aorta": 3}
    assert json.loads(files.statistics.read_text())["organs"].keys() == {"aorta"}
    assert set(np.unique(nibabel.load(files.labels).dataobj)) <= {0, 3}


@pytest.mark.usefixtures("idle")
def test_labels_of_another_format_keep_their_sidecar(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    for name in ("x.dcm", "x.json"):
        (tmp_path / name).write_text("of somebody")
    with pytest.raises(WriteError, match=r"would share x\.json with x\.dcm.*slicekit convert"):
        segment_file(scan, tmp_path / "x.nii.gz", model)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("blocked", ["x.nii.gz", "x.json", "x_stats.json", "x_preview.png"])
def test_existing_outputs_are_refused_before_computing(
    blocked: str, model: Model, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / blocked).write_text("of somebody")
    with pytest.raises(WriteError, match=rf"{blocked}: exists already"):
        segment_file(scan, tmp_path / "x.nii.gz", model, options=SegmentOptions(preview=True))
    assert (tmp_path / blocked).read_text() == "of somebody"
    (tmp_path / blocked).unlink()
    (tmp_path / blocked).mkdir()
    with pytest.raises(WriteError, match=rf"{blocked}: is a folder"):
        segment_file(scan, tmp_path / "x.nii.gz", model, options=AGAIN)


@pytest.mark.usefixtures("idle")
def test_the_input_is_never_an_output(model: Model, scan: Path, tmp_path: Path) -> None:
    before = scan.read_bytes()
    with pytest.raises(WriteError, match="is the input itself"):
        segment_file(scan, scan, model, options=AGAIN)
    (tmp_path / "link.nii.gz").symlink_to(scan)
    with pytest.raises(WriteError, match="is the input itself"):
        segment_file(tmp_path / "link.nii.gz", scan, model, options=AGAIN)
    assert scan.read_bytes() == before
    picture = tmp_path / "x_preview.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
    with pytest.raises(WriteError, match="is the input itself"):
        segment_file(picture, tmp_path / "x.nii.gz", model, options=AGAIN)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["labels", "labels.png", "labels.mha"])
def test_names_that_no_labels_can_have_are_refused_before_computing(
    name: str, model: Model, scan: Path, tmp_path: Path
) -> None:
    with pytest.raises(WriteError, match=rf"{name}: is no name for a volume; end it in \.nii"):
        segment_file(scan, tmp_path / name, model)


@pytest.mark.usefixtures("idle")
def test_unknown_words_are_refused_before_reading(model: Model, tmp_path: Path) -> None:
    missing = tmp_path / "missing.nii"
    with pytest.raises(LabelError, match="did you mean 'spleen'"):
        segment_file(missing, tmp_path / "x.nii", model, options=SegmentOptions(organs=("splen",)))
    with pytest.raises(SlicekitError, match="unknown selector 'best'"):
        segment_file(missing, tmp_path / "x.nii", model, options=SegmentOptions(selector="best"))
    with pytest.raises(ReadError, match=r"missing\.nii: does not exist"):
        segment_file(missing, tmp_path / "x.nii", model)


def test_labels_can_be_replaced_and_no_stale_picture_stays(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "x.nii.gz"
    segment_file(scan, out, model, options=SegmentOptions(preview=True))
    first = out.read_bytes()
    segment_file(scan, out, model, options=AGAIN)
    assert out.read_bytes() == first
    assert names_in(out.parent) == {"x.nii.gz", "x.json", "x_stats.json"}


@pytest.mark.parametrize(
    "step", ["segment_volume", "write_labels", "write_statistics", "write_preview"]
)
def test_an_interrupted_run_leaves_nothing_and_what_stood_there_stands(
    step: str, model: Model, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out" / "x.nii.gz"
    with monkeypatch.context() as patch:
        patch.setattr(case, step, stop)
        with pytest.raises(KeyboardInterrupt):
            segment_file(scan, out, model, options=SegmentOptions(preview=True))
        assert names_in(out.parent) == set()
    segment_file(scan, out, model)
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(case, step, stop)
        with pytest.raises(KeyboardInterrupt):
            segment_file(scan, out, model, options=SegmentOptions(preview=True, overwrite=True))
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before


def test_gray_values_get_their_hu_before_anything_is_measured(
    model: Model, phantoms: Any, tmp_path: Path
) -> None:
    image = phantoms[1].image
    gray = np.rint((np.clip(image.array, -125, 275) + 125.0) * 255 / 400).astype(np.uint8)
    scan = write_volume(tmp_path / "gray.nii.gz", image.with_array(gray))
    with pytest.warns(DataWarning, match="values from 0 to 255 cannot be HU.*--gray-range"):
        segment_file(scan, tmp_path / "doubtful.nii.gz", model)
    options = SegmentOptions(gray_range=(-125, 275))
    files = segment_file(scan, tmp_path / "x.nii.gz", model, options=options)
    labels = read_labels(files.labels).array
    measured = json.loads(files.statistics.read_text())["organs"]
    clipped = np.clip(image.array, -125, 275)
    for organ, number in model.recipe.labels.ids.items():
        if (labels == number).any():
            assert abs(measured[organ]["mean_hu"] - clipped[labels == number].mean()) < 1
    with pytest.raises(ReadError, match="so they are not 8-bit"):
        segment_file(
            write_volume(tmp_path / "hu.nii", image), tmp_path / "y.nii", model, options=options
        )


def test_pictures_are_measured_in_the_assumed_window(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(4):
        plane = np.zeros((64, 64), np.uint8)
        plane[8:56, 8:56] = 102  # 102 of 255 in [-125, 275] is 35 HU
        Image.fromarray(plane).save(folder / f"{z}.png")
    with pytest.warns(DataWarning) as caught:
        files = segment_file(
            folder, tmp_path / "masks", model, options=SegmentOptions(preview=True)
        )
    said = " ".join(str(entry.message) for entry in caught)
    assert "--gray-range" in said
    assert "--spacing" in said
    measured = json.loads(files.statistics.read_text())
    assert measured["spacing_known"] is False
    means = [organ["mean_hu"] for organ in measured["organs"].values()]
    assert all(mean is None or -125 <= mean <= 35 for mean in means)
    assert names_in(tmp_path / "masks") == {f"{z}.png" for z in range(4)}
    assert files.sidecar == tmp_path / "masks.json"


def images(folder: Path) -> list[tuple[Path, str]]:
    """Every NIfTI image of the index and its verdict; of the 48 axis orders a few."""
    index = json.loads((folder / "edge" / "INDEX.json").read_text())
    found = []
    for entry in index["files"]:
        if entry["file"].startswith("nifti/") and entry["role"] == "image":
            paths = sorted((folder / "edge").glob(entry["file"].replace("XYZ", "[A-Z]" * 3)))
            found += [(path, entry["verdict"]) for path in (paths[::9] or paths)]
    assert len(found) > 50
    return found


def test_every_odd_file_is_segmented_on_its_own_grid_or_refused_by_name(
    model: Model, shared_data: Path, tmp_path: Path
) -> None:
    quick = replace(model, propagator=None, propagator_recipe=None)
    for path, verdict in images(shared_data):
        out = tmp_path / path.name / "labels.nii.gz"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DataWarning)
            try:
                large = path.stat().st_size > 100_000
                segment_file(path, out, quick if large else model)
            except SlicekitError as fault:
                assert verdict != "accept", f"{path.name}: {fault}"
                assert str(path) in str(fault), path.name
                assert names_in(out.parent) == set(), path.name
                continue
        assert verdict != "refuse", path.name
        assert names_in(out.parent) == {"labels.nii.gz", "labels.json", "labels_stats.json"}
        if path.name in ("gzip_named.nii", "plain_named.nii.gz"):
            continue  # other readers go by the name
        ours, theirs = nibabel.load(out), nibabel.load(path)
        assert ours.shape == theirs.shape, path.name
        assert (ours.affine == theirs.affine).all(), path.name


def test_a_scan_that_is_replaced_meanwhile_is_not_done(
    model: Model, scan: Path, phantoms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = case.segment_volume

    def replace_it(*args: Any, **words: Any) -> Any:
        write_volume(scan, phantoms[3].image, overwrite=True)
        return right(*args, **words)

    monkeypatch.setattr(case, "segment_volume", replace_it)
    out = tmp_path / "x.nii.gz"
    segment_file(scan, out, model)
    found = find_labels(out, scan, case.wanted_of(model, SegmentOptions()))
    assert found == ("other", "is of another scan than lies there now")


def test_where_nobody_knows_the_spacing_voxels_are_told_and_no_volumes(
    model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(4):
        plane = np.zeros((64, 64), np.uint8)
        plane[8:56, 8:56] = 102
        Image.fromarray(plane).save(folder / f"{z}.png")
    with pytest.warns(DataWarning) as caught:
        files = segment_file(folder, tmp_path / "x.nii.gz", model)
    measured = json.loads(files.statistics.read_text())
    assert measured["spacing_mm"] == [1, 1, 1]  # of the labels, not what the networks work with
    assert {one["volume_ml"] for one in measured["organs"].values()} == {None}
    assert files.voxels == {name: one["voxels"] for name, one in measured["organs"].items()}
    assert any(files.voxels.values())
    said = list(dict.fromkeys(str(one.message) for one in caught))
    assert any("say --spacing Z Y X; spacing_mm in Python" in one for one in said)
    side = json.loads(files.sidecar.read_text())
    assert side["warnings"] == files.to_json()["warnings"] == said
    assert files.for_journal()["warnings"] == said
    known = SegmentOptions(spacing_mm=(3, 1, 1))
    with pytest.warns(DataWarning):
        files = segment_file(folder, tmp_path / "y.nii.gz", model, options=known)
    assert all(isinstance(ml, float) for ml in files.volumes_ml.values())
