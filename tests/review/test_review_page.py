"""The page in a real browser: draw three slices of a real CT, carry, correct, save, look."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy import ndimage

from slicekit.io import read_labels, read_volume
from slicekit.review.pages import FOLDER, VIEWER
from slicekit.review.sheet import Origin

CHECKOUT = Path(__file__).resolve().parents[2]
PLAYWRIGHT = CHECKOUT / "web" / "node_modules" / "playwright-core" / "index.mjs"
CASE = "btcv_0005"
SPLEEN = 1
NASTY = "<img src=x onerror=document.body.dataset.owned=1>"
"""A patient's name that would be run, were it not shown as text."""


@pytest.fixture(scope="module")
def chromium() -> str:
    """A browser, and what drives it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None or shutil.which("node") is None or not PLAYWRIGHT.is_file():
        pytest.skip("needs chromium, Node.js and playwright-core (Debian's chromium, make web)")
    return found


def drawing(mask: np.ndarray, z: int) -> dict[str, Any]:
    """Return how a person would draw a mask: round its outline, then a click inside."""
    biggest = max(
        cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0],
        key=len,
    )
    distance = ndimage.distance_transform_edt(mask)
    y, x = np.unravel_index(int(distance.argmax()), mask.shape)
    return {"z": int(z), "points": biggest[:, 0].tolist()[::3], "inside": [int(x), int(y)]}


@pytest.mark.slow
def test_draw_three_slices_carry_correct_save(
    served: Callable[..., Any], shared_data: Path, chromium: str, tmp_path: Path
) -> None:
    data = shared_data / "abdomen_ct"
    scan = data / "imagesTr" / f"{CASE}_0000.nii.gz"
    image = tmp_path / f"{NASTY}.nii.gz"
    image.symlink_to(scan)
    truth = read_labels(data / "labelsTr" / f"{CASE}.nii.gz", like=read_volume(scan))
    spleen = truth.array == SPLEEN
    zs = np.flatnonzero(spleen.sum(axis=(1, 2)) > 60)
    three = [int(zs[1]), int(zs[len(zs) // 2]), int(zs[-2])]
    middle = (three[0] + three[1]) // 2
    wiped = drawing(spleen[middle], middle)
    task = {
        "playwright": str(PLAYWRIGHT),
        "chromium": chromium,
        "shots": os.environ.get("REVIEW_SHOTS"),
        "penSteps": 4,
        "drawings": [drawing(spleen[z], z) for z in three],
        "correction": {"z": middle, "points": wiped["points"][: len(wiped["points"]) // 3]},
        "planes": (FOLDER / VIEWER).is_file(),
        "labels": str(tmp_path / "labels.bin"),
    }
    method = os.environ.get("REVIEW_METHOD", "stcn")
    with served(image, "-o", tmp_path / "out", "--method", method, "--device", "cpu") as page:
        task_file = tmp_path / "task.json"
        task_file.write_text(json.dumps({**task, "url": page.url}))
        done = subprocess.run(
            ["node", str(Path(__file__).with_name("drive_page.mjs")), str(task_file)],
            capture_output=True, text=True, timeout=170,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        if task["shots"]:
            kept = ("shownMs", "sendMs", "job", "secondJob")
            Path(task["shots"], "seen.json").write_text(json.dumps({k: seen.get(k) for k in kept}))
    assert "fault" not in seen, seen["fault"]
    assert seen["errors"] == [] and seen["foreign"] == [] and not seen["owned"]

    masks = [np.reshape(plane, spleen.shape[1:]) == 1 for plane in seen["drawn"]]
    for z, mask in zip(three, masks, strict=True):
        assert 2 * (mask & spleen[z]).sum() / (mask.sum() + spleen[z].sum()) > 0.8
    assert np.flatnonzero(seen["labelledBefore"]).tolist() == three
    assert seen["job"]["outcome"] == seen["secondJob"]["outcome"] == "done"
    assert set(np.flatnonzero(seen["labelledAfter"])) >= set(range(three[0], three[2] + 1))
    carried = Origin.PROPAGATED if method == "stcn" else Origin.INTERPOLATED
    assert seen["state"]["origin"]["1"][middle] == carried
    assert seen["undoWorks"] and seen["drawnAfterUndo"] == []
    assert seen["secondJob"]["total"] < seen["job"]["total"], "only beside the correction"
    assert method != "stcn" or len(seen["growth"]) > 1, "finished gaps are shown at once"
    assert seen["otherWindow"]
    assert seen["versions"] == {"differs": True, "restored": True, "back": True}

    on_disk = read_labels(tmp_path / "out" / image.name, like=read_volume(scan)).array
    shown = np.fromfile(tmp_path / "labels.bin", np.uint8).reshape(on_disk.shape)
    assert (on_disk == shown).all()
    assert (on_disk[three[0]] == masks[0]).all()
    assert (on_disk[middle] == np.reshape(seen["corrected"], on_disk.shape[1:])).all()
    overlap = 2 * ((on_disk == 1) & spleen).sum() / ((on_disk == 1).sum() + spleen.sum())
    assert overlap > 0.7, "with a slice of which a third was wiped out"
    note = json.loads((tmp_path / "out" / f"{NASTY}.json").read_text())
    assert (note["verdict"], note["drawn"]["organ"]) == ("sent back", sorted([*three, middle]))
