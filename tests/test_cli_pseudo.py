"""Pseudo labels and rounds from the command line."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.data.cases import find_cases
from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.inference import model
from slicekit.io import write_labels, write_volume
from slicekit.training.pseudo import labelling

ORGANS = {"liver": 1, "spleen": 2, "aorta": 3}
ODD = "<b>odd & 'so'"


@pytest.fixture
def data(phantoms: Any, tmp_path: Path) -> Path:
    """Four phantoms: two are labelled, two are not; one of those has an odd name."""
    root = tmp_path / "data"
    table = np.zeros(256, np.uint8)
    for organ, number in ORGANS.items():
        table[PHANTOM_LABELS.id_of(organ)] = number
    for name, made in zip(("one", "two", "bare", ODD), phantoms, strict=True):
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", made.image)
        if name in ("one", "two"):
            labels = made.labels.with_array(table[made.labels.array])
            write_labels(root / "labelsTr" / f"{name}.nii.gz", labels, like=made.image)
    text = json.dumps({"labels": {"background": 0, **ORGANS}})
    (root / "dataset.json").write_text(text)
    return root


@pytest.fixture
def pseudo(
    door: Callable[..., Any], data: Path, tmp_path: Path, using: tuple[str, ...]
) -> Callable[..., Any]:
    """Run ``slicekit pseudo`` on the data with the trial model; words are more options."""
    return lambda *words: door("slicekit", "pseudo", data, "-o", tmp_path / "out", *using, *words)


def test_the_command_writes_a_dataset_a_table_and_a_page(
    pseudo: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = pseudo("--rules", "confidence>=0.5", "voxels>=100")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == str(out)
    assert [line.split(":")[0].strip() for line in lines[1:4]] == [*ORGANS]
    assert lines[4] == "  beside it: pseudo.csv, report.html"
    accepted = {line.split()[0][:-1]: line.split()[1:4:2] for line in lines[1:4]}
    assert accepted["spleen"] == ["2", "2"] and accepted["aorta"] == ["0", "2"]

    dataset = find_cases(out)
    assert {case.name for case in dataset.cases} == {"one", "two", "bare", ODD}
    assert {case.name: case.labels_present for case in dataset.cases if case.is_partial} == {
        "bare": frozenset({"spleen"}), ODD: frozenset({"spleen"})
    }  # fmt: skip
    for case in dataset.cases:
        assert case.image.resolve() == data / "imagesTr" / f"{case.name}_0000.nii.gz"

    with (out / "pseudo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["organ"]) for row in rows] == [
        (case, organ) for case in (ODD, "bare") for organ in ORGANS
    ]
    assert [row["accepted"] for row in rows] == ["0", "1", "0"] * 2
    assert all("confidence" in row["reason"] for row in rows if row["organ"] == "aorta")
    assert {"score_confidence", "score_voxels", "volume_ml"} <= rows[0].keys()

    page = (out / "report.html").read_text("utf-8")
    assert "<b>odd" not in page
    assert "&lt;b&gt;odd &amp; &#39;so&#39;" in page
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 4  # every organ that was found, once
    assert all(base64.b64decode(one).startswith(b"\x89PNG") for one in pictures)
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_damaged_scan_is_told_with_exit_code_2(
    pseudo: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    damaged = data / "imagesTr" / f"{ODD}_0000.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    done = pseudo("--rules", "voxels>=1")
    assert done.code == 2
    assert f"error: {ODD}: {damaged}: " in done.err
    assert "Traceback" not in done.err
    assert {case.name for case in find_cases(tmp_path / "out").cases} == {"one", "two", "bare"}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Scans that could not be labelled" in page and "<b>odd" not in page


def test_usual_rules_learn_from_the_labelled_scans(pseudo: Callable[..., Any]) -> None:
    done = pseudo("--no-propagation")
    assert done.code == 0, done.err  # random networks: nothing is believed
    assert "spleen: 0 of 2 accepted" in done.out


def test_groups_and_the_held_out_scans(
    pseudo: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    splits = {"val": ["bare"], "more": ["two"]}
    (data / "splits.json").write_text(json.dumps(splits))
    done = pseudo("--rules", "voxels>=1")
    assert done.code == 1
    assert "the further groups more" in done.err
    (data / "splits.json").write_text(json.dumps({"val": ["bare"]}))
    done = pseudo("--rules", "voxels>=1")
    assert done.code == 0
    assert find_cases(tmp_path / "out").splits["val"] == ("bare",)
    assert find_cases(tmp_path / "out").splits["pseudo"] == (ODD,)
    pseudo("--rules", "voxels>=1", "--held-out-group", "")
    assert find_cases(tmp_path / "out").splits["val"] == ()
    assert find_cases(tmp_path / "out").splits["pseudo"] == (ODD, "bare")
    (data / "splits.json").write_text(json.dumps(splits))
    pseudo("--rules", "voxels>=1", "--group", "more")
    assert find_cases(tmp_path / "out").splits["pseudo"] == ("two",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rules", "volum"], "unknown rule 'volum'"),
        (["--rules", "loss"], "needs another model (--judge)"),
        (["--rules", "stability"], "needs the folder of an earlier round (--earlier)"),
        (["--rules", "both-ways", "--no-propagation"], "a propagator that carries whole slices"),
        (["--group", "none"], "splits.json, or it is empty, and so no group 'none'"),
        (["--held-out-group", "odd"], "and so no group 'odd'"),
        (["--rules", "agreement<=0.5"], "write agreement=0.5, or 'agreement>=0.5' in quotes"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_door(
    pseudo: Callable[..., Any], tmp_path: Path, words: list[str], said: str
) -> None:
    done = pseudo(*words)
    assert done.code == 1
    assert said in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken_is_told_before_a_model_is_loaded(
    pseudo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    monkeypatch.setattr(model, "load_model", lambda *_, **__: pytest.fail("it was loaded"))
    done = pseudo()
    assert (done.code, "out: holds something else" in done.err) == (1, True)


def test_an_organ_that_no_scan_holds_is_told_so(
    pseudo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def blank(scan: Any, *rest: Any, **words: Any) -> Any:
        said = usual(scan, *rest, **words)
        return replace(said, labels=said.labels.with_array(0 * said.labels.array))

    usual = labelling.predict_scan
    monkeypatch.setattr(labelling, "predict_scan", blank)
    done = pseudo("--rules", "voxels=1")
    assert done.code == 0, done.err
    assert "  liver: not found in any scan\n" in done.out
    assert "0 of 0" not in done.out
    assert "nothing was accepted in 2 scans" in done.err
    assert "the model found no organ" in done.err


def test_a_folder_that_is_taken_is_left_alone(
    door: Callable[..., Any], data: Path, using: tuple[str, ...]
) -> None:
    before = sorted(data.rglob("*"))
    done = door("slicekit", "pseudo", data, "-o", data, *using, "--rules", "component")
    assert (done.code, "is the dataset itself" in done.err) == (1, True)
    inside = door("slicekit", "pseudo", data, "-o", data / "imagesTr", *using)
    assert (inside.code, "holds something else" in inside.err) == (1, True)
    assert sorted(data.rglob("*")) == before


def test_rounds_are_trained_from_the_command_line(
    door: Callable[..., Any], trial_models: Path, data: Path, tmp_path: Path
) -> None:
    """The propagator that the recipe names lies in the folder of the run."""
    out, file = tmp_path / "run", "trial_propagator.safetensors"
    out.mkdir()
    (out / file).write_bytes((trial_models / file).read_bytes())
    done = door(
        "train.py", trial_models / "trial_reference.toml", "--data", data, "-o", out,
        "--rounds", 2, "--set", "training.rounds.rules=['voxels>=1']", "--set",
        "training.held_out_group=", "--set", "training.crop=[48, 64]", "--device", "cpu",
        "--precision", "float32", "--threads", 1,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == f"{out / 'trial_reference.safetensors'}\n"
    made = out / "round-2" / "dataset"
    assert len(find_cases(made).cases) == 4
    assert (made / "pseudo.csv").is_file() and (made / "report.html").is_file()


def test_rounds_are_of_one_dataset_and_of_no_propagator(
    door: Callable[..., Any], trial_models: Path, tmp_path: Path
) -> None:
    reference, propagator = (trial_models / f"trial_{r}.toml" for r in ("reference", "propagator"))
    rest = ("-o", tmp_path / "run", "--rounds", 2)
    two = door("train.py", reference, "--data", tmp_path, tmp_path, *rest)
    assert (two.code, "name one --data" in two.err) == (2, True)
    none = door("train.py", propagator, "--data", tmp_path, *rest)
    assert (none.code, "cannot label scans for a further round" in none.err) == (1, True)
