"""Every method of a recipe has its step; a teacher must be of the pupil's kind."""

from __future__ import annotations

from functools import partial
from typing import get_args

import pytest
import torch

from slicekit.checkpoint import save_weights
from slicekit.errors import CheckpointError, DataWarning, RecipeError
from slicekit.inference.model import build_network
from slicekit.networks import Committee
from slicekit.recipes import TrainingRecipe
from slicekit.training import choice as module
from slicekit.training.choice import choose, load_teacher
from slicekit.training.cps import cps_step
from slicekit.training.material import Material
from slicekit.training.teacher import consistency_step


@pytest.fixture
def material(scans):
    return Material(labelled=scans[:2], held_out=(), free=scans[2:3], phantoms=())


@pytest.fixture
def teach(tmp_path, make_recipe):
    """Write the weights of a teacher; return a pupil's recipe that names them."""

    def write(change=None, role="reference"):
        recipe = make_recipe(role)
        theirs = recipe.model_copy(update=change or {})
        torch.manual_seed(0)
        path = tmp_path / "teacher.safetensors"
        card = {"trained_on": ["phantom 0", "phantom 3"]}
        save_weights(path, build_network(theirs).state_dict(), theirs, card=card)
        return make_recipe(method="teacher-student", teacher={"weights": str(path)})

    return write


def test_every_method_that_a_recipe_can_name_has_a_step():
    methods = get_args(TrainingRecipe.model_fields["method"].annotation)
    assert set(module._STEPS) == set(methods)


def test_the_method_of_the_recipe_is_taken(material, make_recipe, runtime):
    for method, step in (("cps", cps_step), ("mean-teacher", consistency_step)):
        recipe = make_recipe(method=method, batch_unlabelled=1)
        chosen = choose(recipe, material, runtime).method
        assert isinstance(chosen, partial)
        assert chosen.func is step
        assert chosen.keywords == {"training": recipe.training}


def test_a_teacher_is_loaded_for_good_and_its_labels_are_learnt(material, teach, runtime):
    recipe = teach()
    torch.manual_seed(5)  # of the caller's randomness nothing depends
    chosen = choose(recipe, material, runtime)
    teacher = chosen.method.keywords["teacher"]
    assert isinstance(teacher, Committee)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    labelled = chosen.batches.labelled
    assert labelled[:2] == material.labelled
    assert [scan.name for scan in labelled[2:]] == ["phantom 2"]
    assert len(labelled[2].annotated) <= round(0.67 * 16)
    assert chosen.batches.unlabelled == material.free


@pytest.mark.parametrize(
    "change",
    [{"organs": {f"organ {n}": n for n in range(1, 14)}}, {"input": {"spacing_mm": 3.0}}],
)
def test_a_teacher_of_another_kind_is_refused(teach, make_recipe, runtime, change):
    if "input" in change:
        change = {"input": make_recipe().input.model_copy(update=change["input"])}
    recipe = teach(change)
    with pytest.raises(RecipeError, match=r"teacher\.safetensors: the teacher 'tiny_reference' is"):
        load_teacher(recipe, runtime)


def test_a_teacher_that_learnt_from_a_held_out_scan_is_told(teach, runtime):
    recipe = teach()
    with pytest.warns(DataWarning, match="learnt from phantom 3, which the pupil is scored on"):
        load_teacher(recipe, runtime, held_out=["phantom 3", "phantom 4"])
    load_teacher(recipe, runtime, held_out=["phantom 4"])


def test_a_propagator_is_no_teacher(teach, runtime):
    with pytest.raises(RecipeError, match=r"role, .* must be the same"):
        load_teacher(teach(role="propagator"), runtime)


def test_a_missing_or_damaged_teacher_is_refused(teach, make_recipe, runtime, tmp_path):
    recipe = teach()
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"teacher\.safetensors: is damaged"):
        load_teacher(recipe, runtime)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"teacher\.safetensors: cannot be read"):
        load_teacher(recipe, runtime)
