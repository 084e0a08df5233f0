"""What to annotate next, from scans to table and picture, and all that is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import (
    DatasetError,
    DataWarning,
    LabelError,
    ReadError,
    RecipeError,
    WriteError,
)
from slicekit.inference.model import Model, load_model
from slicekit.io import write_labels, write_volume
from slicekit.networks import Committee
from slicekit.report import queue as module
from slicekit.report.queue import Proposal, Queue, QueueOptions, queue_dataset
from slicekit.runtime import Runtime

FEW = QueueOptions(n=4, every_mm=20.0)


@pytest.fixture(scope="module")
def model(trial_models: Path) -> Model:
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    return load_model(trial_models / "trial_reference.toml", runtime, propagator=False)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "survey", lambda *_, **__: pytest.fail("a scan was read"))


@pytest.fixture
def dataset(phantoms: Any, tmp_path: Path) -> Path:
    """Four scans: a is annotated, b on slices 4 and 12, c and d not at all; d is held out."""
    root = tmp_path / "data"
    for name, made in zip("abcd", phantoms, strict=True):
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", made.image)
    for name, made in zip("ab", phantoms, strict=False):
        write_labels(root / "labelsTr" / f"{name}.nii.gz", made.labels, like=made.image)
    organs = {"background": 0, **PHANTOM_LABELS.ids}
    (root / "dataset.json").write_text(json.dumps({"labels": organs}))
    (root / "splits.json").write_text(json.dumps({"val": ["d"], "train": ["a", "b", "c"]}))
    drawn = {"b": {"annotated_slices": [4, 12]}}
    (root / "annotations.json").write_text(json.dumps(drawn))
    return root


def rows(found: Queue) -> list[dict[str, str]]:
    with found.table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_slices_are_proposed_in_a_table_and_a_picture(
    model: Model, dataset: Path, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "new" / "queue"
    found = queue_dataset(
        dataset, model, out, options=FEW, progress=lambda *words: told.append(words)
    )
    assert {path.name for path in out.iterdir()} == {"queue.csv", "queue.png"}
    table = rows(found)
    assert [row["rank"] for row in table] == ["1", "2", "3", "4"]
    assert list(table[0]) == list(Proposal.__dataclass_fields__)
    for row, one in zip(table, found.proposals, strict=True):
        assert row["case"] in "bc"  # neither what is annotated nor what is held out
        assert row["image"] == str(dataset / "imagesTr" / f"{row['case']}_0000.nii.gz")
        assert (row["case"], row["slice"]) == (one.case, str(one.slice))
        assert float(row["z_mm"]) == 10 * int(row["slice"])
        assert row["organ"] in ("", "liver", "spleen", "aorta")
        assert row["reason"].startswith("entropy of ")
        assert float(row["entropy_px"]) > float(row["disagreement_px"]) > 0
        if row["case"] == "b":  # 15 mm from what is drawn
            assert min(abs(int(row["slice"]) - z) for z in (4, 12)) > 1
    apart = [(one.case, one.slice) for one in found.proposals]
    assert len(set(apart)) == 4
    assert (found.failures, found.slices) == ({}, 18)
    assert [words for words in told if words[0] == "scans"] == [("scans", 1, 2), ("scans", 2, 2)]
    assert told[-1] == ("picture", 4, 4)
    with Image.open(found.picture) as picture:
        assert min(picture.size) > 200


def test_one_seed_gives_one_queue(model: Model, dataset: Path, tmp_path: Path) -> None:
    first = queue_dataset(dataset, model, tmp_path / "1", options=FEW)
    again = queue_dataset(dataset, model, tmp_path / "2", options=FEW)
    other = queue_dataset(dataset, model, tmp_path / "3", options=replace(FEW, seed=5))
    assert first.table.read_bytes() == again.table.read_bytes()
    assert first.picture.read_bytes() == again.picture.read_bytes()
    assert other.proposals != first.proposals


@pytest.mark.parametrize("strategy", ["entropy", "disagreement", "uniform", "random"])
def test_whole_scans_are_proposed(strategy: str, model: Model, scans: Path, tmp_path: Path) -> None:
    options = QueueOptions(n=9, per="case", strategy=strategy, every_mm=40.0)
    found = queue_dataset(scans, model, tmp_path / "queue", options=options)
    table = rows(found)
    assert sorted(row["case"] for row in table) == ["a", "b"]
    assert {(row["slice"], row["z_mm"]) for row in table} == {("", "")}
    assert found.picture.stat().st_size > 1000


def test_a_named_group_is_proposed_and_weights_count(
    model: Model, dataset: Path, tmp_path: Path
) -> None:
    only = {"liver": 0.0, "aorta": 0.0}
    options = replace(FEW, group="val", weights=only, strategy="disagreement", n=3)
    found = queue_dataset(dataset, model, tmp_path / "queue", options=options)
    assert {one.case for one in found.proposals} == {"d"}
    assert {one.organ for one in found.proposals} <= {"spleen", None}
    assert all("spleen" in one.reason for one in found.proposals)


def test_a_picture_shows_the_first_and_the_table_all(
    model: Model, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_SHOWN", 2)
    told: list[tuple[str, int, int]] = []
    found = queue_dataset(
        scans, model, tmp_path, options=FEW, progress=lambda *words: told.append(words)
    )
    assert len(rows(found)) == 4
    assert told[-1] == ("picture", 2, 2)


def test_what_is_doubtful_about_a_scan_is_told_once(
    model: Model, phantoms: Any, tmp_path: Path
) -> None:
    image = phantoms[0].image
    write_volume(tmp_path / "in" / "a.nii", image.with_array(image.array.clip(0, 255)))
    with pytest.warns(DataWarning, match="cannot be HU") as caught:
        queue_dataset(tmp_path / "in", model, tmp_path, options=FEW)
    assert len(caught) == 1


def test_a_scan_that_cannot_be_read_is_reported(model: Model, scans: Path, tmp_path: Path) -> None:
    (scans / "c.nii.gz").write_bytes(b"no scan")
    found = queue_dataset(scans, model, tmp_path / "queue", options=FEW)
    assert list(found.failures) == ["c"]
    assert {one.case for one in found.proposals} <= {"a", "b"}
    for name in "ab":
        (scans / f"{name}.nii.gz").write_bytes(b"no scan")
    with pytest.raises(ReadError, match=r"a\.nii\.gz"):
        queue_dataset(scans, model, tmp_path / "none", options=FEW)
    assert not (tmp_path / "none").exists()


def test_where_all_is_annotated_nothing_is_written(
    model: Model, dataset: Path, tmp_path: Path
) -> None:
    (dataset / "annotations.json").write_text('{"b": {"annotated_slices": [0, 5, 10, 15]}}')
    (dataset / "splits.json").write_text('{"b": ["b"]}')
    options = QueueOptions(n=4, per="case", group="b", every_mm=50.0)
    with pytest.raises(DatasetError, match="nothing is left to propose in 1 scans"):
        queue_dataset(dataset, model, tmp_path / "queue", options=options)
    assert not (tmp_path / "queue").exists()


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"strategy": "entropie"}, RecipeError, "unknown strategy 'entropie'; did you mean 'entr"),
        ({"per": "scan"}, RecipeError, "cannot choose per 'scan'"),
        ({"weights": {"livr": 1.0}}, LabelError, "unknown organ 'livr'; did you mean 'liver'"),
        ({"weights": {"liver": -1.0}}, ValueError, "weights must be numbers from 0"),
        ({"group": "tain"}, DatasetError, "no group 'tain'; did you mean 'train'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_scan_is_read(
    words: dict[str, Any],
    error: type[Exception],
    message: str,
    model: Model,
    dataset: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        queue_dataset(dataset, model, tmp_path / "queue", options=replace(FEW, **words))
    assert not (tmp_path / "queue").exists()


@pytest.mark.parametrize("words", [{"n": 0}, {"seed": -1}, {"every_mm": 0.0}])
def test_options_that_cannot_be_are_none(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a queue wants n from 1"):
        QueueOptions(**words)


@pytest.mark.usefixtures("idle")
def test_models_that_cannot_say_it_are_refused(
    model: Model, trial_models: Path, scans: Path, tmp_path: Path
) -> None:
    recipe = model.recipe.model_copy(update={"networks": model.recipe.networks[:1]})
    alone = replace(model, recipe=recipe)
    options = replace(FEW, strategy="disagreement")
    with pytest.raises(RecipeError, match="one network, which cannot disagree; choose 'entropy'"):
        queue_dataset(scans, alone, tmp_path / "queue", options=options)
    solid = load_model(trial_models / "trial_volumetric.toml", model.runtime)
    with pytest.raises(RecipeError, match="'trial_volumetric' is a volumetric, wanted a reference"):
        queue_dataset(scans, solid, tmp_path / "queue", options=FEW)


def test_one_network_alone_has_doubts_but_no_quarrel(
    model: Model, scans: Path, tmp_path: Path
) -> None:
    recipe = model.recipe.model_copy(update={"networks": model.recipe.networks[:1]})
    first = model.reference._modules["a"]
    alone = replace(model, recipe=recipe, reference=Committee(first).eval())
    found = queue_dataset(scans, alone, tmp_path, options=FEW)
    assert {row["disagreement_px"] for row in rows(found)} == {""}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["queue.csv", "queue.png"])
def test_what_is_there_already_is_refused(
    name: str, model: Model, scans: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("of somebody")
    with pytest.raises(WriteError, match=f"{name}: exists already"):
        queue_dataset(scans, model, tmp_path, options=FEW)
    assert (tmp_path / name).read_text() == "of somebody"
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(WriteError, match=f"{name}: is a folder"):
        queue_dataset(scans, model, tmp_path, options=replace(FEW, overwrite=True))
    with pytest.raises(WriteError, match="is not a folder"):
        queue_dataset(scans, model, scans / "a.nii.gz", options=FEW)


def test_an_interrupted_run_leaves_the_old_queue_or_no_table(
    model: Model, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = replace(FEW, overwrite=True)
    old = queue_dataset(scans, model, tmp_path, options=FEW).table.read_bytes()
    for step, stays in (("survey", True), ("draw_sheet", True), ("write_atomically", False)):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, interrupt())
            with pytest.raises(KeyboardInterrupt):
                queue_dataset(scans, model, tmp_path, options=again)
        assert (tmp_path / "queue.csv").exists() is stays
    assert queue_dataset(scans, model, tmp_path, options=again).table.read_bytes() == old


def interrupt() -> Callable[..., None]:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    return stop
