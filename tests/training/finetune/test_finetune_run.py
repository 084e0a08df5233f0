"""Drawn scans in, a model out that is found by name; what was interrupted goes on."""

from __future__ import annotations

import json
import shutil
import signal
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from slicekit.checkpoint import load_weights
from slicekit.data.cases import find_cases
from slicekit.errors import CheckpointError, DatasetError, DataWarning, RecipeError, WriteError
from slicekit.inference.model import bundled, load_model, load_propagator
from slicekit.recipes import read_recipe
from slicekit.training.finetune import Finetuned, FinetuneOptions, finetune
from slicekit.training.interrupt import Interrupted

pytestmark = pytest.mark.filterwarnings(
    "ignore:only one labelled scan:slicekit.errors.DataWarning",
    "ignore:.*slices know no place:slicekit.errors.DataWarning",
)
SMALL = ("training.crop=[48, 64]", "training.checkpoint_every=1")
ORGANS = ("liver", "left_kidney")


@pytest.fixture
def tune(
    dataset: Path, trial_models: Path, runtime: Any, tmp_path: Path
) -> Callable[..., Finetuned]:
    """Fine-tune the trial reference on two phantoms; a third is bare, a fourth held out."""

    def tuned(
        *, data: Path = dataset, role: str = "reference", out: str = "run", models: str = "models",
        progress: Any = None, told: Any = None, changes: tuple[str, ...] = (), **options: Any,
    ) -> Finetuned:  # fmt: skip
        return finetune(
            data, start=trial_models / f"trial_{role}.toml", out=tmp_path / out,
            models=tmp_path / models, runtime=runtime,
            progress=progress or (lambda *told: None), told=told or (lambda said: None),
            options=FinetuneOptions(
                **{"organs": ORGANS, "steps": 2, "changes": (*SMALL, *changes)} | options
            ),
        )  # fmt: skip

    return tuned


@pytest.fixture
def bare(dataset: Path, tmp_path: Path) -> Path:
    """One labelled scan and no more."""
    root = tmp_path / "bare"
    for part in ("imagesTr/one_0000.nii.gz", "labelsTr/one.nii.gz", "dataset.json"):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(dataset / part, root / part)
    return root


def test_a_model_comes_out_that_is_found_by_name(
    tune: Callable[..., Finetuned], runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, heard = [], []
    done = tune(progress=lambda *told: stages.append(told), told=heard.append)
    assert done.name == "left_kidney_liver_reference"
    assert stages == [("pilot", 1, 2), ("pilot", 2, 2), ("training", 1, 2), ("training", 2, 2)]
    assert heard == [done.expectation] and done.expectation.judged_on == ("held",)
    assert set(done.scores) == {"dsc", *ORGANS}
    assert done.recipe == tmp_path / "models" / f"{done.name}.toml"
    recipe = read_recipe(done.recipe)
    assert recipe.organs == {"left_kidney": 1, "liver": 2}
    assert recipe.training.method == "cps"  # there is a scan without labels
    weights = load_weights(done.weights)
    assert weights.card["pilot"]["dsc"] == done.expectation.dsc
    assert weights.card["trained_on"] == ["one", "two"]
    assert recipe.weights is not None and recipe.weights.sha256 == weights.sha256
    monkeypatch.chdir(tmp_path)
    model = load_model(done.name, runtime)
    assert model.recipe.name == done.name
    assert model.propagator_recipe is not None
    assert model.propagator_recipe.name == "any_propagator"


def test_a_second_run_gives_the_same_model_and_trains_no_more(
    tune: Callable[..., Finetuned],
) -> None:
    stages: list[Any] = []
    done = tune()
    text, sha256 = done.recipe.read_text(), load_weights(done.weights).sha256
    assert tune(progress=lambda *told: stages.append(told)) == done
    assert stages == []
    assert (done.recipe.read_text(), load_weights(done.weights).sha256) == (text, sha256)
    with pytest.raises(RecipeError, match="there is a model 'left_kidney_liver_reference' already"):
        tune(out="another")
    with pytest.raises(CheckpointError, match=r"choose another --out, .* training\.steps 2 -> 4"):
        tune(steps=4)


@pytest.mark.parametrize("stage", ["pilot", "training"])
def test_what_was_interrupted_goes_on_to_the_last_bit(
    stage: str, tune: Callable[..., Finetuned]
) -> None:
    def stop(now: str, done: int, total: int) -> None:
        if (now, done) == (stage, 1):
            signal.raise_signal(signal.SIGINT)

    whole = tune(out="whole", models="whole/models")
    with pytest.raises(Interrupted, match="run the same command again"):
        tune(progress=stop)
    steps: list[Any] = []
    parts = tune(progress=lambda *told: steps.append(told))
    later = [("training", 2, 2)]
    if stage == "pilot":
        later = [("pilot", 2, 2), ("training", 1, 2), ("training", 2, 2)]
    assert steps == later
    assert parts.expectation == whole.expectation
    assert load_weights(parts.weights).sha256 == load_weights(whole.weights).sha256


def test_a_run_that_is_done_needs_no_state_to_be_known_as_done(
    tune: Callable[..., Finetuned], tmp_path: Path
) -> None:
    done, stages = tune(), []
    card = load_weights(done.weights).card
    for stage in ("pilot", "run"):
        (tmp_path / "run" / stage / "state.safetensors").unlink()
    again = tune(progress=lambda *told: stages.append(told))
    assert stages == [] and again.scores == done.scores
    assert load_weights(again.weights).card == card  # with what the pilot said
    for file in (done.recipe, done.weights):  # somebody tidied up
        file.unlink()
    assert load_model(tune().recipe, propagator=False).recipe.name == done.name


def test_a_run_goes_on_with_the_scans_it_began_with_only(
    tune: Callable[..., Finetuned], dataset: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(dataset, tmp_path / "data"))
    tune(data=data, pilot=False)
    (data / "labelsTr" / "two.nii.gz").unlink()
    with pytest.raises(CheckpointError, match=r"began with other scans; .* choose another --out"):
        tune(data=data, pilot=False)


def test_known_organs_keep_their_rows_and_others_do_not(
    tune: Callable[..., Finetuned], trial_models: Path
) -> None:
    still = ("training.learning_rate=1e-9", "training.weight_decay=0")
    done = tune(steps=1, pilot=False, changes=still)
    old = load_weights(trial_models / "trial_reference.safetensors").state["a.head.weight"]
    new = load_weights(done.weights).state["a.head.weight"]
    assert torch.allclose(new[0], old[0], atol=1e-3)
    assert torch.allclose(new[2], old[1], atol=1e-3)  # the liver
    assert not torch.allclose(new[1], old[1:], atol=1e-3)


def test_one_scan_is_enough(tune: Callable[..., Finetuned], bare: Path) -> None:
    done = tune(data=bare, organs=("liver",), name="one.scan")
    assert done.expectation is not None and done.expectation.same_scan
    assert done.scores == {}
    assert read_recipe(done.recipe).training.method == "side-by-side"


def test_a_propagator_is_fine_tuned_too(
    tune: Callable[..., Finetuned], runtime: Any, tmp_path: Path
) -> None:
    clips = ("training.clips.objects=1",)
    done = tune(role="propagator", steps=1, changes=clips)
    assert done.name == "left_kidney_liver_propagator"
    assert done.expectation is not None and "copy" in done.expectation.dsc
    assert load_propagator(done.recipe, runtime).recipe.organs == {"left_kidney": 1, "liver": 2}


def test_a_few_shot_model_is_fine_tuned_too(tune: Callable[..., Finetuned]) -> None:
    one = ("training.crop=[32, 32]", "training.fewshot.least_px=4")
    done = tune(role="fewshot", steps=1, changes=one, organs=("liver",))
    assert read_recipe(done.recipe).organs == {}
    assert done.expectation is not None and set(done.expectation.dsc) == {"dsc", "liver"}
    assert done.expectation.judged_on == ("two",)


def test_nothing_is_spent_on_what_cannot_be_kept(
    tune: Callable[..., Finetuned], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    stages: list[Any] = []
    watched = partial(tune, progress=lambda *told: stages.append(told))
    with pytest.raises(WriteError, match="is not a folder"):
        watched(models="file/models")
    with pytest.raises(RecipeError, match="is a volumetric model"):
        watched(role="volumetric")
    with pytest.raises(DatasetError, match="names no femur"):
        watched(organs=("femur",))
    with pytest.raises(RecipeError, match="say it with --name"):
        watched(changes=("name=other",))
    with pytest.raises(RecipeError, match="stepps"):
        watched(changes=("training.stepps=3",))
    assert stages == [] and not (tmp_path / "models").exists()


def test_a_model_without_weights_is_refused_before_the_dataset_is_made(
    dataset: Path, runtime: Any, tmp_path: Path
) -> None:
    options = FinetuneOptions(organs=("liver",))
    bare = tmp_path / "bare.toml"
    bare.write_text(
        (bundled("models") / "ct_abdomen_reference.toml")
        .read_text(encoding="utf-8")
        .split("[weights]")[0]
        .replace('name = "ct_abdomen_reference"', 'name = "bare"')
    )
    with pytest.raises(CheckpointError, match=r"weights .* are not there; train them first"):
        finetune(
            dataset, start=bare, out=tmp_path / "run", models=tmp_path,
            runtime=runtime, options=options,
        )  # fmt: skip
    assert not (tmp_path / "run" / "dataset").exists()


def test_a_note_that_was_damaged_is_told_and_loses_nothing(
    tune: Callable[..., Finetuned], tmp_path: Path
) -> None:
    done = tune(pilot=False)
    (tmp_path / "run" / "model.json").write_text("{")
    with pytest.raises(RecipeError, match=r"no model.json that says which"):
        tune(pilot=False)
    (tmp_path / "run" / "model.json").write_text(json.dumps(done.name))
    assert tune(pilot=False) == done


def test_the_dataset_of_a_run_is_data_for_another(
    tune: Callable[..., Finetuned], tmp_path: Path
) -> None:
    tune(pilot=False, steps=1)
    made = tmp_path / "run" / "dataset"
    with pytest.raises(DatasetError, match="choose another --out"):
        tune(data=made, pilot=False)
    again = tune(data=made, pilot=False, steps=1, out="again", name="again")
    assert again.scores and len(find_cases(tmp_path / "again" / "dataset").cases) == 4


def test_real_mr_goes_through_a_model_of_ct(
    tune: Callable[..., Finetuned], shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "cardiac_mr"
    for name in ("patient001_frame01", "patient008_frame01"):
        for part in (f"imagesTr/{name}_0000.nii.gz", f"labelsTr/{name}.nii.gz"):
            link = tmp_path / "data" / part
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source / part)
    (tmp_path / "data" / "dataset.json").write_bytes((source / "dataset.json").read_bytes())
    done = tune(data=tmp_path / "data", organs=("left_ventricle",))
    recipe = read_recipe(done.recipe)
    assert (recipe.input.modality, recipe.input.body_above_hu) == ("any", None)
    assert recipe.inference.propagator == "any_propagator"
    assert done.expectation is not None
    assert done.expectation.judged_on == ("patient008_frame01",)


def test_real_slices_and_masks_go_through(
    tune: Callable[..., Finetuned], shared_data: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # what pictures do not say
        done = tune(
            data=shared_data / "slice_folders" / "lits_00", organs=("lesion=255",), steps=1,
            pilot=False,
        )  # fmt: skip
    recipe = read_recipe(done.recipe)
    assert recipe.organs == {"lesion": 1} and recipe.input.modality == "CT"
    assert [case.name for case in find_cases(tmp_path / "run" / "dataset").cases] == ["lits_00"]
