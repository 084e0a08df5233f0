"""The report from the command line, from real results of the other commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.io import read_volume, write_labels
from slicekit.report.page import pictures
from slicekit.volume import Volume


def test_a_batch_a_case_and_an_evaluation_become_pages(
    door: Callable[..., Any], scans: Path, phantoms: Any, using: tuple[str, ...], tmp_path: Path
) -> None:
    out, truth = tmp_path / "out", tmp_path / "truth"
    assert door("infer.py", scans, "-o", out, *using).code == 0
    for name, made in zip("ab", phantoms, strict=False):
        write_labels(truth / f"{name}.nii.gz", made.labels, like=made.image)
    scores = door("slicekit", "evaluate", out, truth, "--json")
    assert scores.code == 0, scores.err
    (tmp_path / "scores.json").write_text(scores.out)
    side = json.loads((out / "a.json").read_text())
    for source in (out, out / "a.nii.gz", tmp_path / "scores.json"):
        page = tmp_path / "pages" / f"{source.name}.html"
        done = door("slicekit", "report", source, "-o", page)
        assert (done.code, done.out) == (0, f"{page}\n"), done.err
        text = page.read_text()
        assert "data:image/png;base64," in text
        assert side["weights_sha256"]["trial_reference"] in text
    words = ("slicekit", "report", out / "a.nii.gz", "-o", tmp_path / "pages" / "a.nii.gz.html")
    again = door(*words)
    assert (again.code, "exists already" in again.err) == (1, True)
    assert door(*words, "--overwrite").code == 0


def test_a_page_is_html_and_never_its_source(door: Callable[..., Any], tmp_path: Path) -> None:
    wrong = door("slicekit", "report", tmp_path, "-o", tmp_path / "page.pdf")
    assert (wrong.code, "end its name in .html" in wrong.err) == (2, True)
    missing = door("slicekit", "report", tmp_path / "no", "-o", tmp_path / "x.html")
    assert (missing.code, "does not exist" in missing.err) == (1, True)


def test_a_scan_that_was_typed_relatively_is_drawn_and_never_its_labels(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(scans)
    assert door("infer.py", ".", "-o", "../out", *using, "--no-propagation").code == 0
    right = pictures.draw_preview
    drawn: list[Volume] = []

    def draw(image: Volume, *rest: Any, **words: Any) -> Any:
        drawn.append(image)
        return right(image, *rest, **words)

    monkeypatch.setattr(pictures, "draw_preview", draw)
    monkeypatch.chdir(tmp_path)
    scan = read_volume(scans / "a.nii.gz").array
    assert door("slicekit", "report", "out/a.nii.gz", "-o", "a.html").code == 0
    assert np.array_equal(drawn.pop().array, scan)
    (scans / "a.nii.gz").rename(scans / "elsewhere.nii.gz")
    monkeypatch.chdir(tmp_path / "out")  # where the labels have the scan's name
    assert door("slicekit", "report", "a.nii.gz", "-o", "../b.html").code == 0
    assert drawn == []
    assert "the scan lies elsewhere or is another" in (tmp_path / "b.html").read_text()
