"""What the page asks for, through the application itself."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
import pytest

from slicekit.io import read_labels, read_volume, write_labels
from slicekit.review.sheet import Origin

Client = Callable[..., Any]
SHAPE = (16, 64, 64)


def planes(answer: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Return what is told of changed slices, and the slices."""
    (size,) = struct.unpack("<I", answer.content[:4])
    about = json.loads(answer.content[4 : 4 + size])
    found = np.frombuffer(answer.content[4 + size :], f"<u{about['label_bytes']}")
    return about, found.reshape(-1, *SHAPE[1:])


def draw(client: Any, z: int, mask: np.ndarray, number: int = 1) -> Any:
    plane = np.where(mask, number, 0).astype(np.uint8)
    url = f"/api/cases/0/slices/{z}?drawn={number}"
    return client.put(url, content=plane.tobytes())


def carried(client: Any) -> dict[str, Any]:
    """Propagate and wait."""
    assert client.post("/api/cases/0/propagate").status_code == 202
    for _ in range(600):
        state: dict[str, Any] = client.get("/api/cases/0/state").json()
        if not state["job"]["running"]:
            return state
        time.sleep(0.02)
    raise AssertionError("the propagation does not end")


def test_the_scan_comes_as_it_is(make_client: Client, scan: Path, tmp_path: Path) -> None:
    client = make_client(scan, out=tmp_path / "out")
    about = client.get("/api/cases/0").json()
    array = read_volume(scan).array
    assert tuple(about["shape"]) == SHAPE
    whole = np.frombuffer(client.get("/api/cases/0/image").content, "<i2").reshape(SHAPE)
    found = whole * about["slope"] + about["offset"]
    np.testing.assert_allclose(found, array, atol=about["slope"] / 2 + 1e-6)
    one = np.frombuffer(client.get("/api/cases/0/image/3").content, "<i2").reshape(SHAPE[1:])
    assert (one == whole[3]).all()
    assert about["presets"][0]["name"] == "abdomen"


def test_draw_carry_correct_save(
    make_client: Client, scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    client = make_client(scan, out=tmp_path / "out")
    first, *_, last = np.flatnonzero(liver.any(axis=(1, 2)))
    for z in (first, last):
        assert draw(client, z, liver[z]).status_code == 200
    state = carried(client)
    assert state["job"]["outcome"] == "done", state["job"]["fault"]
    assert state["origin"]["1"][first] == Origin.DRAWN
    assert state["origin"]["1"][first + 1] == Origin.INTERPOLATED
    assert state["doubt"]["1"][first + 1] > 0 and state["next"]
    about, found = planes(client.get("/api/cases/0/labels?since=0"))
    assert set(about["slices"]) >= set(range(first, last + 1))

    suggested = state["next"][0]["z"]
    draw(client, suggested, liver[suggested])
    told = client.get("/api/cases/0/state").json()["next"]
    assert suggested not in [one["z"] for one in told], "it was drawn"
    draw(client, suggested, np.zeros_like(liver[suggested]))
    client.put(f"/api/cases/0/slices/{suggested}", content=bytes(64 * 64))  # taken back
    assert carried(client)["job"]["outcome"] == "done"
    about, found = planes(client.get("/api/cases/0/labels?since=0"))

    middle = int(first + last) // 2
    seen = about["revision"]
    assert draw(client, middle, liver[middle]).json()["volumes_ml"]["1"] > 0
    assert carried(client)["job"]["outcome"] == "done"
    about, found = planes(client.get(f"/api/cases/0/labels?since={seen}"))
    assert middle in about["slices"] and first not in about["slices"]
    assert (found[about["slices"].index(middle)] == liver[middle]).all()

    saved = client.post("/api/cases/0/save").json()
    assert saved["version"] == "0001.nii.gz"
    on_disk = read_labels(tmp_path / "out" / "patient.nii.gz", like=read_volume(scan)).array
    about, shown = planes(client.get("/api/cases/0/labels?since=0"))
    assert (on_disk[about["slices"]] == shown).all() and not on_disk[about["empty"]].any()
    assert np.allclose(nib.load(saved["file"]).affine, nib.load(scan).affine)
    note = json.loads((tmp_path / "out" / "patient.json").read_text())
    assert note["labels"] == {"background": 0, "organ": 1}
    assert note["drawn"] == {"organ": [first, middle, last]}


def test_a_correction_of_given_labels_stays_near(
    make_client: Client, scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    image = read_volume(scan)
    given = write_labels(tmp_path / "given.nii.gz", liver.astype(np.uint8), like=image)
    client = make_client(scan, labels=given, out=tmp_path / "out")
    zs = np.flatnonzero(liver.any(axis=(1, 2)))
    middle = int(zs[len(zs) // 2])
    wrong = np.zeros_like(liver[middle])
    wrong[20:40, 20:40] = True
    draw(client, middle, wrong)
    state = carried(client)
    _, found = planes(client.get("/api/cases/0/labels?since=0"))
    whole = np.zeros(SHAPE, np.uint8)
    about, _ = planes(client.get("/api/cases/0/labels?since=0"))
    whole[about["slices"]] = found
    assert (whole[middle] == wrong).all()
    near = 2  # slices of 10 mm within 25 mm
    far = [z for z in range(SHAPE[0]) if abs(z - middle) > near]
    assert (whole[far] == liver[far]).all()
    assert any((whole[middle + step] != liver[middle + step]).any() for step in (-1, 1))
    assert state["origin"]["1"][zs[0]] == Origin.GIVEN
    assert state["origin"]["1"][middle] == Origin.DRAWN


def test_given_labels_outlive_a_start_without_them(
    make_client: Client, scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    image = read_volume(scan)
    truth = liver.astype(np.uint8)
    truth[:, :6, :6] = 2  # another organ, that nobody will touch
    given = write_labels(tmp_path / "given.nii.gz", truth, like=image)
    middle = int(np.flatnonzero(liver.any(axis=(1, 2)))[3])
    client = make_client(scan, labels=given, out=tmp_path / "out")
    plane = truth[middle].copy()
    plane[30:34, 30:34] = 1
    client.put(f"/api/cases/0/slices/{middle}?drawn=1", content=plane.tobytes())
    before = carried(client)
    client = make_client(scan, out=tmp_path / "out", after_the_others=True)
    after = carried(client)
    assert after["origin"] == before["origin"]
    assert after["volumes_ml"] == before["volumes_ml"]


def test_a_new_organ_is_carried_beside_the_first(
    make_client: Client, scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    client = make_client(scan, out=tmp_path / "out")
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[2])
    draw(client, z, liver[z])
    carried(client)
    added = client.post("/api/cases/0/organs", json={"name": "<script>alert(1)</script>"})
    assert added.json()["id"] == 2
    other = np.zeros_like(liver[z])
    other[2:8, 2:8] = True
    both = np.where(liver[z], 1, np.where(other, 2, 0)).astype(np.uint8)
    client.put(f"/api/cases/0/slices/{z}?drawn=1,2", content=both.tobytes())
    state = carried(client)
    assert state["job"]["outcome"] == "done"
    assert min(state["volumes_ml"].values()) > 0


def test_a_case_is_accepted_or_sent_back(make_client: Client, scan: Path, tmp_path: Path) -> None:
    client = make_client(scan, out=tmp_path / "out")
    client.post("/api/cases/0/verdict", json={"verdict": "sent back", "remark": "spleen?"})
    note = json.loads((tmp_path / "out" / "patient.json").read_text())
    assert (note["verdict"], note["remark"]) == ("sent back", "spleen?")
    assert not (tmp_path / "out" / "patient.nii.gz").exists()
    client.post("/api/cases/0/verdict", json={"verdict": "accepted"})
    assert (tmp_path / "out" / "patient.nii.gz").exists()
    assert client.get("/api/cases").json()["cases"][0]["verdict"] == "accepted"
    again = make_client(scan, out=tmp_path / "out", after_the_others=True)
    assert again.get("/api/cases/0/state").json()["saved"]


def test_an_earlier_review_goes_on(
    make_client: Client, scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[2])
    client = make_client(scan, out=tmp_path / "out")
    draw(client, z, liver[z])
    before = carried(client)
    client = make_client(scan, out=tmp_path / "out", after_the_others=True)
    after = client.get("/api/cases/0/state").json()
    assert not after["saved"]
    for key in ("origin", "doubt", "volumes_ml"):
        assert after[key] == before[key]
    again = carried(client)
    assert again["volumes_ml"] == before["volumes_ml"]


def test_case_39_a_second_server_is_told(make_client: Client, scan: Path, tmp_path: Path) -> None:
    first = make_client(scan, out=tmp_path / "out")
    assert first.get("/api/cases/0").status_code == 200
    told = make_client(scan, out=tmp_path / "out").get("/api/cases/0")
    assert told.status_code == 409
    assert "another slicekit" in told.json()["cause"]
    assert "close it there" in told.json()["cure"] or "--out" in told.json()["cure"]


def test_missing_weights_leave_interpolation(
    make_client: Client, scan: Path, liver: np.ndarray, tmp_path: Path
) -> None:
    client = make_client(scan, out=tmp_path / "out", model="no_such_propagator")
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[2])
    draw(client, z, liver[z])
    assert Origin.INTERPOLATED in carried(client)["origin"]["1"]
    assert "no_such_propagator" in client.get("/api/cases").json()["model_fault"]["cause"]


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "words"),
    [
        ("GET", "/api/cases/7", None, 404, "no case 7"),
        ("GET", "/api/cases/x", None, 422, "index"),
        ("GET", "/api/cases/0/image/99", None, 422, "no slice 99"),
        ("GET", "/api/cases/0/labels?since=-1", None, 422, "since"),
        ("PUT", "/api/cases/0/slices/1", b"short", 422, "64 x 64 pixels"),
        ("PUT", "/api/cases/0/slices/99", bytes(4096), 422, "no slice 99"),
        ("PUT", "/api/cases/0/slices/1?drawn=x", bytes(4096), 422, "ids between commas"),
        ("PUT", "/api/cases/0/slices/1?drawn=9", bytes(4096), 422, "no organ has the id 9"),
        ("PUT", "/api/cases/0/slices/1", b"\x09" * 4096, 422, "no organ has the id 9"),
        ("POST", "/api/cases/0/propagate", None, 422, "nothing is drawn"),
        ("POST", "/api/cases/0/organs", b'{"name": " "}', 422, "name of 1 to 80"),
        ("POST", "/api/cases/0/organs", b"{nonsense", 422, "cannot be understood"),
        ("POST", "/api/cases/0/verdict", b'{"verdict": "fine"}', 422, "unknown verdict"),
        ("GET", "/../../etc/passwd", None, 404, "no such page"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", None, 404, "no such page"),
        ("GET", "//etc/passwd", None, 404, "no such page"),
        ("GET", "/..%5c..%5csecret", None, 404, "no such page"),
        ("GET", "/index.html%00.js", None, 404, "no such page"),
        ("GET", "/vendor/", None, 404, "no such page"),
        ("POST", "/", None, 405, "method"),
    ],
)
def test_case_40_faults_come_as_json_with_cause_and_cure(
    make_client: Client,
    scan: Path,
    tmp_path: Path,
    method: str,
    url: str,
    body: bytes | None,
    status: int,
    words: str,
) -> None:
    client = make_client(scan, out=tmp_path / "out")
    kind = "application/json" if body and body[:1] == b"{" else "application/octet-stream"
    answer = client.request(method, url, content=body, headers={"content-type": kind})
    assert answer.status_code == status
    said = answer.json()
    assert words in said["cause"] + said["cure"] and said["cure"]
    assert "Traceback" not in answer.text


def test_health_is_told_without_a_token(make_client: Client, scan: Path, tmp_path: Path) -> None:
    client = make_client(scan, out=tmp_path / "out")
    answer = client.get("/healthz", headers={"x-slicekit-token": ""})
    assert answer.json()["ok"] is True


def test_a_scan_that_cannot_be_read_is_told_and_others_go_on(
    make_client: Client, scans: Path, tmp_path: Path
) -> None:
    whole = (scans / "a.nii.gz").read_bytes()
    (scans / "a.nii.gz").write_bytes(whole[: len(whole) // 2])
    client = make_client(scans, out=tmp_path / "out")
    told = client.get("/api/cases/0")
    assert told.status_code == 500 and "truncated" in told.json()["cause"]
    assert client.get("/api/cases/1").status_code == 200


def test_a_propagation_is_stopped(
    make_client: Client,
    scan: Path,
    liver: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from slicekit.review import carry

    def slow(session: Any) -> Any:
        for n in range(2000):
            yield carry.CarriedGap("organ", range(0), n, 2000)
            time.sleep(0.01)

    monkeypatch.setattr(carry.Session, "carry", slow)
    client = make_client(scan, out=tmp_path / "out")
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[2])
    draw(client, z, liver[z])
    assert client.post("/api/cases/0/propagate").status_code == 202
    told = client.post("/api/cases/0/propagate")
    assert told.status_code == 409 and "running already" in told.json()["cause"]
    assert draw(client, z + 1, liver[z + 1]).status_code == 200, "drawing goes on meanwhile"
    client.delete("/api/cases/0/propagate")
    for _ in range(200):
        state = client.get("/api/cases/0/state").json()
        if not state["job"]["running"]:
            break
        time.sleep(0.02)
    assert state["job"]["outcome"] == "stopped"
    assert state["origin"]["1"][z] == state["origin"]["1"][z + 1] == Origin.DRAWN


def test_cases_that_were_not_looked_at_for_long_are_closed_and_kept(
    make_client: Client, phantoms: tuple[Any, ...], tmp_path: Path, liver: np.ndarray
) -> None:
    from slicekit.io import write_volume

    for name, made in zip("abc", phantoms, strict=False):
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", made.image)
    client = make_client(tmp_path / "scans", out=tmp_path / "out")
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[2])
    draw(client, z, liver[z])
    for index in (1, 2):
        assert client.get(f"/api/cases/{index}").status_code == 200
    assert (tmp_path / "out" / "a.session").exists()
    watched = client.get("/api/cases/0/state?watch=true")
    assert watched.status_code == 409 and "closed" in watched.json()["cause"]
    assert client.get("/api/cases/2/state?watch=true").status_code == 200
    assert client.get("/api/cases/0/state").json()["origin"]["1"][z] == Origin.DRAWN


def test_a_slice_folder_is_drawn_on_and_saved_as_nifti(
    make_client: Client, liver: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "slices").mkdir()
    for z in range(SHAPE[0]):
        picture = np.full(SHAPE[1:], 40 + z, np.uint8)
        cv2.imwrite(str(tmp_path / "slices" / f"{z + 30:03}.png"), picture)
    client = make_client(tmp_path / "slices", out=tmp_path / "out", spacing_mm=(10.0, 2.0, 2.0))
    about = client.get("/api/cases/0").json()
    assert about["numbers"] == list(range(30, 46)) and about["spacing_mm"] == [10.0, 2.0, 2.0]
    z = int(np.flatnonzero(liver.any(axis=(1, 2)))[2])
    said = draw(client, z, liver[z]).json()
    assert said["volumes_ml"]["1"] == pytest.approx(liver[z].sum() * 0.04, abs=1e-3)
    assert client.post("/api/cases/0/save").status_code == 200
    found = nib.load(tmp_path / "out" / "slices.nii.gz")
    assert int((np.asanyarray(found.dataobj) == 1).sum()) == liver[z].sum()
