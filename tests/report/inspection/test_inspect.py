"""A whole dataset: phantoms, real ones, and broken ones."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from found import kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicekit.report.inspection import KINDS, inspect_dataset, write_inspection


def test_a_whole_dataset_has_no_findings(data: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = inspect_dataset(data, progress=lambda *step: told.append(step))
    assert kinds(found) == {}
    assert told == [("scans", n, 4) for n in range(1, 5)]
    assert found.to_text() == (
        f"{data}: 4 scans, 4 with labels, 2 organs; 0 errors, 0 warnings, 0 notes"
    )
    facts = found.cases[0]
    assert (facts.shape, facts.spacing_mm, facts.axes) == ((8, 10, 12), (5, 2, 2), "LAS")
    assert (facts.kind, facts.drawn) == ("int16", 6)
    assert facts.voxels == {1: 3 * 4 * 5, 2: 3 * 3 * 5}


def test_examples_are_few_and_the_rest_is_counted(data: Path) -> None:
    for name in "abcd":
        (data / "imagesTr" / f"{name}_0000.nii.gz").write_bytes(b"x")
    text = inspect_dataset(data).to_text()
    assert "error: Files that cannot be read (4)\n  a: " in text
    assert "and 1 more\n  -> copy or export them again" in text


def test_memory_does_not_grow_with_the_scans(tmp_path: Path, put: Any, say: Any) -> None:
    rng = np.random.default_rng(0)
    for n in range(8):
        array = rng.integers(-900, 900, (64, 64, 32), dtype=np.int16)
        put(tmp_path / "imagesTr" / f"{n}_0000.nii", array)
        put(tmp_path / "labelsTr" / f"{n}.nii", (array > 800).astype(np.uint8))
    say(tmp_path, "dataset.json", {"labels": {"liver": 1}, "numTraining": 8})
    inspect_dataset(tmp_path)  # what is made once is made
    tracemalloc.start()
    inspect_dataset(tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * 64 * 64 * 32 * 2 + 2_000_000


@pytest.mark.parametrize("name", ["abdomen_ct", "abdomen_mr"])
def test_real_datasets_have_no_errors(name: str, shared_data: Path, tmp_path: Path) -> None:
    place = tmp_path / name
    for kind in ("imagesTr", "labelsTr"):
        (place / kind).mkdir(parents=True)
        for file in sorted((shared_data / name / kind).iterdir())[:4]:
            (place / kind / file.name).symlink_to(file)
    content = json.loads((shared_data / name / "dataset.json").read_text())
    (place / "dataset.json").write_text(json.dumps(content | {"numTraining": 4}))
    found = inspect_dataset(place)
    assert found.of("error") == found.of("warning") == ()
    assert all(len(case.voxels or ()) >= 3 for case in found.cases)


def test_a_real_scan_with_other_labels(shared_data: Path, tmp_path: Path, say: Any) -> None:
    place = shared_data / "true_hu_ct"
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
    scans = sorted(file for file in place.glob("*.nii.gz"))
    amos = [file for file in scans if file.name.startswith("amos_0013")]
    image = next(file for file in amos if "label" not in file.name)
    mask = next(file for file in amos if "label" in file.name)
    (tmp_path / "imagesTr" / "amos_0000.nii.gz").symlink_to(image)
    (tmp_path / "labelsTr" / "amos.nii.gz").symlink_to(mask)
    names = json.loads((place / "amos_0013_names.json").read_text())
    say(tmp_path, "dataset.json", {"labels": {"liver": 6}, "numTraining": 1})
    found = inspect_dataset(tmp_path)
    assert set(kinds(found)) == {"unknown-ids"}, (found.to_text(), names)


BREAKS = st.sampled_from(["cut", "empty", "flip", "gone", "folder", "link", "huge", "json"])


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(st.tuples(st.integers(0, 8), BREAKS, st.integers(0, 4000)), max_size=6))
def test_no_broken_dataset_stops_the_look(
    data: Path, tmp_path_factory: pytest.TempPathFactory, breaks: list[tuple[int, str, int]]
) -> None:
    import shutil

    place = tmp_path_factory.mktemp("broken") / "data"
    shutil.copytree(data, place)
    files = sorted(file for file in place.rglob("*") if file.is_file())
    for index, how, number in breaks:
        file = files[index]
        if os.path.lexists(file) and file.is_file() and not file.is_symlink():
            break_file(file, how, number)
    if not any(file.exists() for file in files):
        return
    found = inspect_dataset(place)
    json.dumps(found.to_json(), allow_nan=False)
    write_inspection(found, place.parent / "out")
    assert all(one.kind in KINDS for one in found.findings)
    lost = [case.name for case in found.cases if case.digest is None]
    told = {one.where for one in found.of("error")}
    assert set(lost) <= told
    shutil.rmtree(place.parent)


def break_file(file: Path, how: str, number: int) -> None:
    content = file.read_bytes()
    if how == "cut":
        file.write_bytes(content[: number % (len(content) + 1)])
    elif how == "flip" and content:
        changed = bytearray(content)
        changed[number % len(content)] ^= 1 << number % 8
        file.write_bytes(changed)
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "huge":
        file.write_bytes(content + bytes(number))
    elif how == "json":
        file.write_text('{"labels": [[[[' * 200)
    else:
        file.unlink()
        if how == "folder":
            file.mkdir()
        elif how == "link":
            file.symlink_to("nowhere")
