"""Labels that were given are as doubtful as the map beside them says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.io import read_volume, write_labels, write_map
from slicekit.labels import LabelSet
from slicekit.review.doubtful import most_doubtful, read_doubt
from slicekit.review.sheet import Origin


@pytest.fixture
def given(scan: Path, tmp_path: Path, liver: Any) -> Path:
    return write_labels(tmp_path / "guess.nii.gz", liver.astype(np.uint8), like=read_volume(scan))


def test_doubt_is_the_mean_over_an_organ(scan: Path, given: Path, liver: Any) -> None:
    image = read_volume(scan)
    zs = np.flatnonzero(liver.any(axis=(1, 2)))
    unsure = np.full(liver.shape, 0.9, np.float32)
    unsure[liver] = 0.1
    unsure[zs[2]][liver[zs[2]]] = 0.5
    write_map(given.with_name("guess_uncertainty.nii.gz"), unsure, like=image)
    found = read_doubt(given, image, liver.astype(np.uint8))
    assert set(found) == {1}
    assert found[1][zs] == pytest.approx([0.5 if z == zs[2] else 0.1 for z in zs], abs=0.003)
    assert not np.delete(found[1], zs).any()


def test_without_a_map_of_this_scan_there_is_no_doubt(
    scan: Path, given: Path, liver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    image = read_volume(scan)
    assert read_doubt(None, image, liver) == read_doubt(given, image, liver) == {}
    beside = given.with_name("guess_uncertainty.nii.gz")
    beside.write_bytes(b"no map")
    assert read_doubt(given, image, liver.astype(np.uint8)) == {}
    assert "doubt is not shown" in caplog.text and "guess_uncertainty" in caplog.text


def test_the_most_doubtful_slices_come_first_and_small_organs_count() -> None:
    names = LabelSet({"liver": 1, "gland": 2, "spleen": 3})
    doubt = {1: np.array([0.1, 0.2, 0.0]), 2: np.array([0.0, 0.0, 0.9]), 3: np.zeros(3)}
    voxels = {1: np.array([500, 500, 0]), 2: np.array([0, 0, 4]), 3: np.array([9, 9, 9])}
    first, second = most_doubtful(doubt, voxels, names, count=3)  # type: ignore[arg-type]
    assert (first.z, first.organs) == (2, ("gland",)) and "doubt 0.90" in first.reason
    assert (second.z, second.organs) == (1, ("liver",))
    assert len(most_doubtful(doubt, voxels, names, count=1)) == 1  # type: ignore[arg-type]


def test_the_page_is_told_until_a_slice_is_drawn(
    make_client: Callable[..., Any], scan: Path, given: Path, liver: Any, tmp_path: Path
) -> None:
    beside = given.with_name("guess_uncertainty.nii.gz")
    write_map(beside, np.where(liver, 0.25, 0).astype(np.float32), like=read_volume(scan))
    client = make_client(scan, labels=given, out=tmp_path / "out")
    state = client.get("/api/cases/0/state").json()
    zs = np.flatnonzero(liver.any(axis=(1, 2)))
    assert [z for z, share in enumerate(state["doubt"]["1"]) if share > 0.2] == zs.tolist()
    assert state["next"][0]["z"] == int(liver.sum(axis=(1, 2)).argmax())
    z = int(zs[1])
    plane = liver[z].astype(np.uint8)
    client.put(f"/api/cases/0/slices/{z}?drawn=1", content=plane.tobytes())
    state = client.get("/api/cases/0/state").json()
    assert state["doubt"]["1"][z] == 0 and state["origin"]["1"][z] == Origin.DRAWN
    assert state["doubt"]["1"][zs[2]] > 0.2
