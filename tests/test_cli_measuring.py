"""stats and check from the command line: what is printed, written, and returned."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.io import write_labels, write_volume

PHANTOM_ORGANS = 13


@pytest.fixture
def pair(phantoms: Any, tmp_path: Path) -> tuple[Path, Path]:
    made = phantoms[0]
    scan = write_volume(tmp_path / "scan.nii.gz", made.image)
    return scan, write_labels(tmp_path / "mask.nii.gz", made.labels, like=made.image)


@pytest.fixture
def dataset(phantoms: Any, tmp_path: Path) -> Path:
    """Three scans in order."""
    folder = tmp_path / "data"
    for name, made in zip("abc", phantoms, strict=False):
        write_volume(folder / "imagesTr" / f"{name}_0000.nii.gz", made.image)
        write_labels(folder / "labelsTr" / f"{name}.nii.gz", made.labels, like=made.image)
    labels = {"background": 0} | {f"organ_{n}": n for n in range(1, PHANTOM_ORGANS + 1)}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "numTraining": 3}))
    return folder


def test_figures_are_printed_and_written(
    door: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    done = door("slicekit", "stats", *pair)
    assert done.code == 0, done.err
    assert done.out.splitlines()[2].startswith("label_1 ")
    words = ("--json", "-o", tmp_path / "s.json", "--csv", tmp_path / "s.csv")
    done = door("slicekit", "stats", *pair, *words)
    told = json.loads(done.out)
    assert json.loads((tmp_path / "s.json").read_text()) == told
    with (tmp_path / "s.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["organ"] for row in rows] == list(told["organs"])
    again = door("slicekit", "stats", *pair, *words)
    assert again.code == 1
    assert "s.json: exists already" in again.err
    assert door("slicekit", "stats", *pair, *words, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--neighbours", "8"], 2, "unknown --neighbours '8'"),
        (["--csv", "{mask}"], 1, "is the input itself"),
        (["-o", "{mask}.json", "--csv", "{mask}.json"], 2, "give each a file of its own"),
        (["--volume", "3"], 1, "scan.nii.gz"),
        (["--spacing", "1", "1", "1"], 1, "leave out spacing_mm"),
    ],
)
def test_faults_of_stats_are_one_readable_block(
    words: list[str], code: int, said: str, door: Callable[..., Any], pair: tuple[Path, Path]
) -> None:
    words = [word.format(mask=pair[1]) for word in words]
    done = door("slicekit", "stats", *pair, *words)
    assert (done.code, done.out) == (code, "")
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


def test_the_file_of_the_names_is_never_replaced(
    door: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    names = json.dumps({"labels": {"liver": 1}})
    for file in (tmp_path / "mask.json", tmp_path / "dataset.json"):
        file.write_text(names)
        done = door("slicekit", "stats", *pair, "-o", file, "--overwrite")
        assert (done.code, "is the input itself" in done.err) == (1, True)
        assert file.read_text() == names


def test_two_folders_become_one_table(
    door: Callable[..., Any], dataset: Path, tmp_path: Path
) -> None:
    folders, table = (dataset / "imagesTr", dataset / "labelsTr"), tmp_path / "c.csv"
    (dataset / "labelsTr" / "b.nii.gz").write_bytes(b"no labels")
    done = door("slicekit", "stats", *folders, "--csv", table, "-o", tmp_path / "c.json")
    assert done.code == 2, done.err
    assert "could not be measured:\n  b: " in done.out
    assert done.out.splitlines()[2].split()[:4] == ["organ_1", "2", "of", "2"]
    with table.open(newline="") as lines:
        assert [row["case"] for row in csv.DictReader(lines)] == ["a"] * 13 + ["c"] * 13
    told = json.loads((tmp_path / "c.json").read_text())
    assert list(told["failures"]) == ["b"]
    inside = door("slicekit", "stats", *folders, "--csv", folders[1] / "a.nii.gz", "--overwrite")
    assert (inside.code, "is the input itself" in inside.err) == (1, True)
    mixed = door("slicekit", "stats", dataset / "imagesTr", dataset / "labelsTr" / "a.nii.gz")
    assert (mixed.code, "name one of the files" in mixed.err) == (1, True)


def test_stats_and_check_need_no_torch(pair: tuple[Path, Path], dataset: Path) -> None:
    for words in (["stats", *map(str, pair)], ["check", str(dataset)]):
        ran = "import sys, atexit; from slicekit.cli import main; sys.argv[0] = 'slicekit'\n"
        ran += "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); main()"
        done = subprocess.run(
            [sys.executable, "-c", ran, *words], capture_output=True, text=True, check=False,
            cwd=Path(__file__).parents[1], timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stderr.strip()) == (0, "False"), done.stderr


def test_a_whole_dataset_is_exit_0(door: Callable[..., Any], dataset: Path, tmp_path: Path) -> None:
    done = door("slicekit", "check", dataset, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{dataset}: 3 scans, 3 with labels, 13 organs; 0 errors, ")
    assert str(tmp_path / "out" / "check.html") in done.out
    assert (tmp_path / "out" / "check.json").is_file()
    again = door("slicekit", "check", dataset, "-o", tmp_path / "out")
    assert again.code == 1
    assert "check.html: exists already" in again.err


def test_errors_are_exit_2_and_named(door: Callable[..., Any], dataset: Path) -> None:
    (dataset / "imagesTr" / "b_0000.nii.gz").write_bytes(b"no scan")
    done = door("slicekit", "check", dataset)
    assert done.code == 2
    assert "error: Files that cannot be read (1)\n  b: " in done.out
    assert "Traceback" not in done.err
    told = json.loads(door("slicekit", "check", dataset, "--json").out)
    assert told["counts"]["errors"] == 1


def test_a_mended_copy_is_listed(door: Callable[..., Any], dataset: Path, tmp_path: Path) -> None:
    (dataset / "imagesTr" / "a_0000.nii.gz").rename(dataset / "imagesTr" / "a.nii.gz")
    fixed = tmp_path / "fixed"
    done = door("slicekit", "check", dataset, "--fix", fixed)
    assert done.code == 0, done.err
    assert f"mended in {fixed}: 1 files\n  imagesTr/a_0000.nii.gz: was a.nii.gz" in done.out
    told = json.loads(door("slicekit", "check", dataset, "--fix", tmp_path / "f", "--json").out)
    assert told["mended"]["changes"] == [{"file": "imagesTr/a_0000.nii.gz", "what": "was a.nii.gz"}]
    refused = door("slicekit", "check", dataset, "--fix", fixed)
    assert refused.code == 1
    assert "exists already; name a new folder" in refused.err
    inside = door("slicekit", "check", dataset, "--fix", dataset / "fixed")
    assert inside.code == 1
    assert "which stays as it is" in inside.err


def test_what_is_no_dataset_is_exit_1(door: Callable[..., Any], tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        done = door("slicekit", "check", path)
        assert (done.code, done.out) == (1, "")
        assert "name an nnU-Net raw folder" in done.err
