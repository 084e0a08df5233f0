"""Earlier versions come back and can be taken back; two windows do not overwrite one another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.io import read_labels, read_volume
from slicekit.review.sheet import Origin

SHAPE = (64, 64)


def draw(client: Any, z: int, rows: int, **query: Any) -> Any:
    plane = np.zeros(SHAPE, np.uint8)
    plane[:rows] = 1
    url = f"/api/cases/0/slices/{z}"
    return client.put(url, params={"drawn": "1", **query}, content=plane.tobytes())


def drawn(client: Any) -> list[int]:
    origin = client.get("/api/cases/0/state").json()["origin"]["1"]
    return np.flatnonzero(np.array(origin) == Origin.DRAWN).tolist()


def wait(client: Any) -> dict[str, Any]:
    for _ in range(600):
        state: dict[str, Any] = client.get("/api/cases/0/state").json()
        if not state["job"]["running"]:
            return state
        time.sleep(0.02)
    raise AssertionError("the propagation does not end")


@pytest.fixture
def client(make_client: Callable[..., Any], scan: Path, tmp_path: Path) -> Any:
    return make_client(scan, out=tmp_path / "out")


def test_a_version_comes_back_and_that_can_be_taken_back(
    client: Any, scan: Path, tmp_path: Path
) -> None:
    draw(client, 3, 10)
    assert client.post("/api/cases/0/save").json()["version"] == "0001.nii.gz"
    draw(client, 8, 20)
    draw(client, 3, 5)
    ml = client.get("/api/cases/0/state").json()["volumes_ml"]["1"]
    kept = client.post("/api/cases/0/versions/1/restore").json()["kept"]
    assert kept == 2 and drawn(client) == [3]
    state = client.get("/api/cases/0/state").json()
    assert state["volumes_ml"]["1"] == pytest.approx(ml * 10 / 25, rel=1e-3)
    assert not state["saved"], "the label map on disk is another one until somebody saves"
    told = client.get("/api/cases/0/versions").json()["versions"]
    assert [one["number"] for one in told] == [2, 1]
    assert told[0]["why"] == "before version 1 was restored"

    assert client.post(f"/api/cases/0/versions/{kept}/restore").json()["kept"] == 1
    assert drawn(client) == [3, 8]
    assert client.get("/api/cases/0/state").json()["volumes_ml"]["1"] == ml
    assert len(client.get("/api/cases/0/versions").json()["versions"]) == 2, "nothing new to keep"
    client.post("/api/cases/0/save")
    saved = read_labels(tmp_path / "out" / "patient.nii.gz", like=read_volume(scan)).array
    assert (saved != 0).sum() == 25 * SHAPE[1]


def test_where_a_version_came_from_comes_back_with_it(client: Any) -> None:
    for z in (3, 9):
        draw(client, z, 20)
    client.post("/api/cases/0/propagate")
    before = wait(client)
    client.post("/api/cases/0/save")
    draw(client, 6, 40)
    client.post("/api/cases/0/propagate")
    wait(client)
    client.post("/api/cases/0/versions/1/restore")
    after = client.get("/api/cases/0/state").json()
    assert (after["origin"], after["doubt"]) == (before["origin"], before["doubt"])
    client.post("/api/cases/0/propagate")
    again = wait(client)
    assert again["volumes_ml"] == before["volumes_ml"] and again["origin"] == before["origin"]


def test_a_version_that_is_not_there_changes_nothing(client: Any) -> None:
    draw(client, 3, 10)
    told = client.post("/api/cases/0/versions/7/restore")
    assert told.status_code == 404 and "not kept" in told.json()["cause"]
    assert client.post("/api/cases/0/versions/..%2f1/restore").status_code in (404, 405, 422)
    assert drawn(client) == [3]
    assert client.get("/api/cases/0/versions").json()["versions"] == []


def test_a_second_window_is_told_and_overwrites_nothing(client: Any) -> None:
    seen = client.get("/api/cases/0/state").json()["revision"]
    mine = draw(client, 3, 10, seen=seen).json()["revision"]
    told = draw(client, 3, 20, seen=seen)
    assert told.status_code == 409 and "another window" in told.json()["cause"]
    assert draw(client, 4, 20, seen=seen).status_code == 200, "another slice is free"
    assert draw(client, 3, 20, seen=mine).status_code == 200


def test_what_was_accepted_and_then_changed_is_open_again(client: Any) -> None:
    draw(client, 3, 10)
    client.post("/api/cases/0/verdict", json={"verdict": "accepted", "remark": "well"})
    assert client.get("/api/cases/0/state").json()["verdict"] == "accepted"
    draw(client, 3, 11)
    state = client.get("/api/cases/0/state").json()
    assert (state["verdict"], state["remark"]) == ("open", "well")


def test_finished_gaps_are_shown_while_others_are_carried(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicekit.review import carry

    walk, seen = carry.Session.carry, []

    def slow(session: Any) -> Any:
        for gap in walk(session):
            yield gap
            seen.append((gap.slices, client.get("/api/cases/0/state").json()["origin"]["1"]))

    monkeypatch.setattr(carry.Session, "carry", slow)
    for z in (3, 7, 12):
        draw(client, z, 20)
    client.post("/api/cases/0/propagate")
    state = wait(client)
    assert state["job"]["outcome"] == "done", state["job"]["fault"]
    inner = [(slices, origin) for slices, origin in seen if slices.start > 3 and slices.stop <= 12]
    assert len(inner) == 2
    for slices, origin in inner:
        assert all(origin[z] == Origin.INTERPOLATED for z in slices)
    first = inner[0][1]
    assert any(first[z] == Origin.UNSEEN for z in range(4, 12) if z != 7)


def test_a_page_that_outlives_its_server_goes_on(
    make_client: Callable[..., Any], scan: Path, tmp_path: Path
) -> None:
    first = make_client(scan, out=tmp_path / "out")
    seen = draw(first, 3, 10).json()["revision"]
    again = make_client(scan, out=tmp_path / "out", after_the_others=True)
    assert again.get("/api/cases/0/state").json()["revision"] > seen
    assert draw(again, 3, 20, seen=seen).status_code == 200, "its own drawing"


def test_a_note_that_was_tampered_with_still_restores(client: Any, tmp_path: Path) -> None:
    draw(client, 3, 10)
    client.post("/api/cases/0/save")
    note = tmp_path / "out" / "versions" / "patient" / "0001.json"
    content = json.loads(note.read_text())
    for origin, doubt in ([7] * 16, [0.5] * 16), ([2] * 16, ["x"] * 16), (3, 4), ([2], [1]):
        note.write_text(
            json.dumps({**content, "origin": {"organ": origin}, "doubt": {"organ": doubt}})
        )
        draw(client, 5, 10)
        assert client.post("/api/cases/0/versions/1/restore").status_code == 200
        assert drawn(client) == [3]
