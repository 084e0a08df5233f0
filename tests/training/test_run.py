"""From a recipe and a dataset folder to weights that can be used."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from slicekit.checkpoint import load_weights
from slicekit.data import slices
from slicekit.data.on_disk import keep_on_disk
from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import DatasetError, DataWarning
from slicekit.inference.model import load_model
from slicekit.io import read_labels, write_volume
from slicekit.networks import STCN, Committee, DynUNet
from slicekit.training import choice, teacher
from slicekit.training.loop import LOG
from slicekit.training.run import train
from slicekit.volume import Volume

# After a few steps pseudo labels hold what they hold.
pytestmark = pytest.mark.filterwarnings("ignore:the pseudo labels hold")


@pytest.fixture
def copied(dataset, tmp_path):
    """The dataset, to be spoilt."""
    return shutil.copytree(dataset, tmp_path / "data")


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_reference_is_trained_scored_and_can_be_loaded(dataset, tmp_path, make_recipe, runtime):
    recipe, told = make_recipe(batch_unlabelled=1, steps=3), []
    path = train(
        recipe,
        data=dataset,
        out=tmp_path / "run",
        runtime=runtime,
        progress=lambda *step: told.append(step),
    )
    assert path == tmp_path / "run" / "tiny_reference.safetensors"
    assert told == [(1, 3), (2, 3), (3, 3)]
    weights = load_weights(path)
    assert weights.recipe == recipe
    card = weights.card
    assert card["trained_on"] == ["one", "two"]
    assert card["unlabelled"] == ["bare"]
    assert card["held_out"] == ["held"]
    assert (card["phantoms"], card["steps"]) == (0, 3)
    assert 0 <= card["scores"]["dsc"] <= 1
    assert isinstance(load_model(path, runtime).reference, Committee)
    files = {file.name for file in path.parent.iterdir()}
    assert files == {"tiny_reference.safetensors", "state.safetensors", "log.jsonl"}


def entries(path, kind):
    """Lines of the log beside a weights file."""
    lines = [json.loads(line) for line in (path.parent / LOG).read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture
def methods(dataset, tmp_path, make_recipe, runtime):
    """Train by a method for a few steps; return its weights file."""

    def run(method, *, name="run", **training):
        before = tmp_path / "teacher" / "tiny_reference.safetensors"
        if method == "teacher-student" and not before.is_file():
            run("side-by-side", name="teacher", learning_rate=1e-6, steps=1)
        settings = {"steps": 3, "batch_unlabelled": 1, "evaluate_every": 2, **training}
        if method == "teacher-student":
            settings.setdefault("teacher", {})["weights"] = str(before)
        recipe = make_recipe(method=method, **settings)
        return train(recipe, data=dataset, out=tmp_path / name, runtime=runtime)

    return run


@pytest.mark.parametrize(
    ("method", "views", "part"),
    [
        ("supervised", "alike", None),
        ("side-by-side", "alike", None),
        ("cps", "alike", "pseudo"),
        ("cps", "weak-strong", "pseudo"),
        ("mean-teacher", "alike", "consistency"),
        ("mean-teacher", "weak-strong", "consistency"),
        ("teacher-student", "weak-strong", "consistency"),
    ],
)
def test_every_method_trains_from_end_to_end(methods, runtime, method, views, part):
    path = methods(method, views=views)
    weights = load_weights(path)
    assert weights.recipe.training.method == method
    assert weights.card["unlabelled"] == ([] if part is None else ["bare"])
    (last,) = entries(path, "step")
    assert {"loss", "supervised"} <= last.keys()
    assert ({"pseudo", "consistency"} & last.keys()) == ({part} if part else set())
    assert [line["step"] for line in entries(path, "evaluation")] == [2, 3]
    shares = entries(path, "classes")
    assert [line["step"] for line in shares] == ([2, 3] if part else [])
    for line in shares:
        assert 0 < sum(value for key, value in line.items() if key.startswith("labelled")) < 1
        assert 0 <= line["pseudo liver"] <= 1
    model = load_model(path, runtime)
    assert len(model.reference.members) == (1 if method == "supervised" else 2)


def test_a_run_without_room_in_memory_is_the_same_and_leaves_no_file(
    methods, tmp_path, monkeypatch
):
    found = tmp_path / "temporary"
    found.mkdir()
    wanted = methods("teacher-student", name="roomy")
    monkeypatch.setattr("tempfile.tempdir", str(found))
    written = []

    def remember(array, path=None):
        written.append(array.nbytes)
        return keep_on_disk(array, path)

    for module in (slices, teacher):
        monkeypatch.setattr(module, "keep_on_disk", remember)
    path = methods("teacher-student", name="narrow", cache_gib=1e-9)
    assert load_weights(path).sha256 == load_weights(wanted).sha256
    assert len(written) == 2 * 3 + 1 + 2  # three labelled, one not, and what the teacher says of it
    assert not list(found.iterdir())


def test_cps_at_weight_0_gives_the_weights_of_side_by_side(methods):
    off = methods("cps", name="off", cps={"weight": 0.0})
    beside = methods("side-by-side", name="beside")
    assert load_weights(off).sha256 == load_weights(beside).sha256
    on = methods("cps", name="on", cps={"weight": 1.0, "ramp_share": 0.0})
    assert load_weights(on).sha256 != load_weights(off).sha256


def test_the_mean_teacher_is_the_average_and_not_in_training(methods, monkeypatch):
    seen = []

    def remember(network, batch, *, average, **options):
        seen.append((network.training, average.training, average is network))
        return original(network, batch, average=average, **options)

    original = choice._STEPS["mean-teacher"]
    monkeypatch.setitem(choice._STEPS, "mean-teacher", remember)
    methods("mean-teacher")
    assert seen == [(True, False, False)] * 3


def test_labels_of_some_organs_reach_the_loss(copied, tmp_path, make_recipe, runtime):
    note = {case: {"labels_present": ["liver", "spleen"]} for case in ("one", "two")}
    (copied / "annotations.json").write_text(json.dumps(note))
    for case in ("one", "two"):
        path = copied / "labelsTr" / f"{case}.nii.gz"
        labels = read_labels(path)
        path.unlink()
        kept = np.isin(labels.array, [PHANTOM_LABELS.ids[organ] for organ in ("liver", "spleen")])
        write_volume(path, Volume(np.where(kept, labels.array, 0), labels.affine))
    found = {}
    for partial in ("marginal", "masked", "dice-only"):
        recipe = make_recipe(steps=1, partial=partial)
        with pytest.warns(DataWarning, match="nobody annotated right_kidney, .* on any of 2"):
            weights = train(recipe, data=copied, out=tmp_path / partial, runtime=runtime)
        found[partial] = entries(weights, "step")[0]["supervised"]
    assert len(set(found.values())) == 3  # the same batch and weights, three losses


def test_a_volumetric_model_is_trained_scored_and_can_be_loaded(
    dataset, tmp_path, make_recipe, runtime
):
    recipe = make_recipe("volumetric", steps=3, evaluate_every=2)
    path = train(recipe, data=dataset, out=tmp_path, runtime=runtime)
    card = load_weights(path).card
    assert (card["trained_on"], card["unlabelled"]) == (["one", "two"], [])
    assert 0 <= card["scores"]["dsc"] <= 1
    assert entries(path, "classes") == []
    assert isinstance(load_model(path, runtime).reference, DynUNet)


def test_a_propagator_is_trained_scored_and_can_be_loaded(dataset, tmp_path, make_recipe, runtime):
    propagator = make_recipe("propagator", steps=2, batch_unlabelled=1)
    path = train(propagator, data=dataset, out=tmp_path, runtime=runtime)
    card = load_weights(path).card
    assert card["unlabelled"] == []  # it looks at labelled scans only
    assert {"dsc", "copy"} <= set(card["scores"])
    reference = make_recipe(steps=1).model_copy(
        update={
            "inference": make_recipe().inference.model_copy(update={"propagator": propagator.name})
        }
    )
    beside = train(reference, data=dataset, out=tmp_path / "other", runtime=runtime)
    shutil.copy(path, beside.parent)
    model = load_model(beside, runtime)
    assert isinstance(model.propagator, STCN)
    assert set(model.sha256) == {"tiny_reference", "tiny_propagator"}


def test_scans_from_elsewhere_join_the_unlabelled_ones_unless_held_out(
    dataset, tmp_path, make_recipe, runtime
):
    images, recipe = dataset / "imagesTr", make_recipe(batch_unlabelled=1, steps=1)
    more = [images / "two_0000.nii.gz"]
    path = train(recipe, data=dataset, out=tmp_path, runtime=runtime, unlabelled=more)
    assert load_weights(path).card["unlabelled"] == ["bare", "two_0000.nii.gz"]
    link = tmp_path / "link.nii.gz"
    link.symlink_to(images / "held_0000.nii.gz")
    for leak in (images / "held_0000.nii.gz", link):
        with pytest.raises(DatasetError, match=f"held out and trained on at once: {leak}"):
            train(recipe, data=dataset, out=tmp_path, runtime=runtime, unlabelled=[leak])


def test_other_organs_than_the_recipe_s_are_refused_with_both(
    copied, tmp_path, make_recipe, runtime
):
    change(copied / "dataset.json", labels={"background": 0, "liver": 1})
    with pytest.raises(
        DatasetError, match=r"dataset\.json names other organs .*\{'liver': 1\} aga"
    ):
        train(make_recipe(), data=copied, out=tmp_path / "run", runtime=runtime)
    assert not (tmp_path / "run").exists()


def test_every_scan_at_fault_is_listed_before_training(copied, tmp_path, make_recipe, runtime):
    for name in ("imagesTr/one_0000", "labelsTr/held"):
        path = copied / f"{name}.nii.gz"
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetError) as caught:
        train(make_recipe(), data=copied, out=tmp_path / "run", runtime=runtime)
    assert "2 scans cannot be used" in str(caught.value)
    assert "one_0000.nii.gz" in str(caught.value)
    assert "held.nii.gz" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_judged_or_teach_itself_says_so(
    copied, tmp_path, make_recipe, runtime
):
    (copied / "splits.json").unlink()
    (copied / "imagesTr" / "bare_0000.nii.gz").unlink()
    with pytest.warns(DataWarning) as told:
        path = train(
            make_recipe(steps=1, batch_unlabelled=1),
            data=copied,
            out=tmp_path / "run",
            runtime=runtime,
        )
    said = " | ".join(str(warning.message) for warning in told)
    assert "no scan is used without its labels" in said
    assert "no scan is held out" in said
    assert load_weights(path).card["trained_on"] == ["held", "one", "two"]
