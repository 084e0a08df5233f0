"""From files to files: what was drawn in one scan, found in another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from shades import IDS, dice, model, patient

from slicekit.errors import DataWarning, GeometryError, LabelError, ReadError, WriteError
from slicekit.io import read_labels, read_volume, write_labels, write_volume
from slicekit.report.fewshot import FewShotOptions, fewshot_file
from slicekit.report.support import read_support
from slicekit.volume import Volume


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A support, what was drawn on it with names beside it, a query and its truth."""
    (scan, drawn), (other, truth) = patient(), patient(2)
    write_volume(tmp_path / "support.nii.gz", scan)
    write_labels(tmp_path / "drawn.nii.gz", drawn, like=scan)
    (tmp_path / "drawn.json").write_text(json.dumps({"labels": IDS}))
    write_volume(tmp_path / "query.nii.gz", other)
    write_labels(tmp_path / "truth.nii.gz", truth, like=other)
    names = ("support", "drawn", "query", "truth")
    return {name: tmp_path / f"{name}.nii.gz" for name in names}


def find(
    files: dict[str, Path], out: str = "out.nii.gz", organs: Any = None, **options: Any
) -> Any:
    return fewshot_file(
        read_support(files["support"], files["drawn"], organs=organs),
        files["query"], files["query"].with_name(out), model(),
        options=FewShotOptions(**options), command=["slicekit", "fewshot"],
    )  # fmt: skip


def test_labels_lie_on_the_querys_grid_with_names_and_reasons(files: dict[str, Path]) -> None:
    done = find(files, preview=True)
    query = read_volume(files["query"])
    found = read_labels(done.labels, like=query).array
    truth = read_labels(files["truth"], like=query).array
    for number in IDS.values():
        assert dice(found == number, truth == number) > 0.75
    said = json.loads(done.sidecar.read_text())
    assert said["labels"] == {"background": 0, **IDS}
    assert said["model"] == "shades" and said["propagator"] is None
    assert said["not_found"] == []
    assert set(said["support_slices"]) == set(IDS)
    for guide in said["guides"]:
        assert (truth[guide["z"]] == IDS[guide["organ"]]).any()
        assert "cosine margin" in guide["reason"]
    stats = json.loads(done.statistics.read_text())
    assert stats["organs"]["liver"]["voxels"] == (found == IDS["liver"]).sum()
    assert "mean_hu" not in stats["organs"]["liver"]  # MR has none
    assert done.preview is not None and done.preview.stat().st_size > 10_000
    assert done.volumes_ml["liver"] > done.volumes_ml["kidney"] > 0


def test_only_what_was_asked_for_is_looked_for(files: dict[str, Path]) -> None:
    done = find(files, organs=("kidney",))
    query = read_volume(files["query"])
    assert set(np.unique(read_labels(done.labels, like=query).array)) == {0, IDS["kidney"]}
    with pytest.raises(LabelError, match="does not show spleen; it shows kidney, liver"):
        find(files, organs=("spleen",), overwrite=True)


def test_the_query_alone_is_read_as_it_is_described(files: dict[str, Path]) -> None:
    query = nibabel.load(files["query"])
    values = query.get_fdata()
    both = np.stack([np.zeros_like(values), values], axis=-1)
    series = files["query"].with_name("series.nii.gz")
    nibabel.save(nibabel.Nifti1Image(both, query.affine), series)
    plain = read_labels(find(files).labels).array
    described = find({**files, "query": series}, "other.nii.gz", volume_index=1)
    assert np.array_equal(read_labels(described.labels).array, plain)
    assert plain.any()
    with pytest.raises(ReadError, match=r"query\.nii\.gz"):
        find(files, "third.nii.gz", spacing_mm=(1.0, 1.0, 1.0))


def test_ids_without_names_are_numbered(files: dict[str, Path]) -> None:
    files["drawn"].with_name("drawn.json").unlink()
    done = find(files)
    assert set(done.volumes_ml) == {"label_3", "label_7"}
    assert "labels" not in json.loads(done.sidecar.read_text())


def test_an_empty_support_is_refused(files: dict[str, Path]) -> None:
    scan = read_volume(files["support"])
    empty = np.zeros(scan.shape, np.uint8)
    write_labels(files["drawn"], empty, like=scan, overwrite=True)
    with pytest.raises(LabelError, match=r"drawn.nii.gz: the support is empty"):
        find(files)


def test_drawings_of_another_scan_are_refused(files: dict[str, Path]) -> None:
    other = read_volume(files["support"])
    cut = Volume(other.array[:-2], other.affine)
    write_volume(files["support"], cut, overwrite=True)
    with pytest.raises(GeometryError):
        find(files)


def test_ct_and_mr_are_told_apart(files: dict[str, Path]) -> None:
    query = read_volume(files["query"])
    array = np.where(query.array == 0, -1000, query.array)
    write_volume(files["query"], Volume(array, query.affine), overwrite=True)
    with pytest.warns(DataWarning, match="looks like no CT, .* like CT"):
        find(files)


def test_what_is_not_found_is_told(files: dict[str, Path]) -> None:
    query = read_volume(files["query"])
    truth = read_labels(files["truth"], like=query).array
    array = np.where(truth == IDS["liver"], query.array[0, 40, 40], query.array)
    write_volume(files["query"], Volume(array, query.affine), overwrite=True)
    with pytest.warns(DataWarning, match="trusted to show liver"):
        done = find(files)
    said = json.loads(done.sidecar.read_text())
    assert said["not_found"] == ["liver"]
    assert any("so it stays empty" in one for one in said["warnings"])
    assert said["warnings"] == done.to_json()["warnings"]
    assert Path(said["scan"]).is_absolute()


def test_nothing_is_overwritten_by_chance(files: dict[str, Path]) -> None:
    find(files)
    with pytest.raises(WriteError):
        find(files)
    find(files, overwrite=True)
    with pytest.raises(WriteError):
        find(files, out="drawn.nii.gz", overwrite=True)
