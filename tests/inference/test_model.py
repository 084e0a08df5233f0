"""Models are found by name, recipe or weights file, and refused when they are not what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slicekit.checkpoint import load_weights, save_weights
from slicekit.errors import CheckpointError, RecipeError
from slicekit.inference import model as module
from slicekit.inference.model import (
    Model,
    build_network,
    expect_weights,
    find_weights,
    load_model,
    load_propagator,
    model_files,
    recipe_of,
)
from slicekit.networks import STCN, Committee, DynUNet
from slicekit.recipes import read_recipe
from slicekit.runtime import Runtime

REFERENCE, PROPAGATOR = "trial_reference", "trial_propagator"
VOLUMETRIC = "trial_volumetric"


@pytest.fixture
def folder(trial_models: Path, tmp_path: Path) -> Path:
    """A copy of the models that a test may change."""
    return Path(shutil.copytree(trial_models, tmp_path / "models"))


def change(recipe: Path, old: str, new: str) -> Path:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))
    return recipe


def bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder stand for the bundled models and weights."""
    monkeypatch.setattr(module, "bundled", lambda kind: folder)


def digests(folder: Path) -> dict[str, str]:
    return {
        name: load_weights(folder / f"{name}.safetensors").sha256
        for name in (REFERENCE, PROPAGATOR)
    }


@pytest.mark.parametrize("ending", ["", ".toml", ".safetensors"])
def test_name_recipe_and_weights_mean_the_same_model(
    ending: str, folder: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ending:
        bundle(folder, monkeypatch)
    model = load_model(folder / f"{REFERENCE}{ending}" if ending else REFERENCE, runtime)
    assert isinstance(model.reference, Committee)
    assert isinstance(model.propagator, STCN)
    assert (model.recipe.name, model.propagator_recipe.name) == (REFERENCE, PROPAGATOR)
    assert model.sha256 == digests(folder)
    assert not model.reference.training
    assert not model.propagator.training
    stored = load_weights(folder / f"{REFERENCE}.safetensors").state
    assert torch.equal(model.reference.state_dict()["a.head.bias"], stored["a.head.bias"])


def test_runtime_is_picked_where_none_is_given(folder: Path) -> None:
    threads = torch.get_num_threads()
    try:
        assert load_model(folder / f"{REFERENCE}.toml", propagator=False).runtime.threads >= 1
    finally:
        torch.set_num_threads(threads)


def test_without_propagator_none_is_looked_for(folder: Path, runtime: Runtime) -> None:
    (folder / f"{PROPAGATOR}.safetensors").unlink()
    (folder / f"{PROPAGATOR}.toml").unlink()
    model = load_model(folder / f"{REFERENCE}.toml", runtime, propagator=False)
    assert (model.propagator, model.propagator_recipe) == (None, None)
    assert model.sha256.keys() == {REFERENCE}


def test_unknown_name_suggests_the_likely_one(
    folder: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(folder, monkeypatch)
    with pytest.raises(RecipeError, match=r"'trial_refrence'; did you mean 'trial_reference'\?"):
        load_model("trial_refrence", runtime)


def test_a_reference_may_be_of_one_network_or_three_also_of_others(
    folder: Path, runtime: Runtime
) -> None:
    others = "{kind='smp', architecture='FPN', encoder='tu-test_resnet'}"
    ours = "{kind='attention-unet', preset='tiny'}"
    for count, entries in ((1, others), (3, f"{others}, {ours}, {ours}")):
        changes = [f"networks=[{entries}]", "training.method=side-by-side"]
        recipe = read_recipe(folder / f"{REFERENCE}.toml", changes=changes)
        weights = folder / f"of_{count}.safetensors"
        save_weights(weights, build_network(recipe).state_dict(), recipe, card={})
        model = load_model(weights, runtime, propagator=False)
        assert model.recipe.networks[0].encoder == "tu-test_resnet"
        with torch.inference_mode():
            said = model.reference(torch.rand(1, 3, 40, 56), None)
        assert [tuple(logits.shape) for logits in said] == [(1, 4, 40, 56)] * count


def test_a_volumetric_model_is_its_network_and_left_to_torch(
    folder: Path, runtime: Runtime
) -> None:
    fast = replace(runtime, backend="openvino")
    for propagator in (True, False):
        model = load_model(folder / f"{VOLUMETRIC}.toml", fast, propagator=propagator)
        assert isinstance(model.reference, DynUNet)
        assert not model.reference.training
        assert (model.propagator, model.propagator_recipe, model.carrier) == (None, None, None)
        assert model.runtime == runtime
        assert model.sha256.keys() == {VOLUMETRIC}
    with pytest.raises(RecipeError, match=r"names every voxel by itself; leave the .*trial_propag"):
        load_model(folder / f"{VOLUMETRIC}.toml", fast, propagator=folder / f"{PROPAGATOR}.toml")


def test_a_patch_that_the_network_cannot_halve_is_refused(folder: Path, runtime: Runtime) -> None:
    recipe = change(folder / f"{VOLUMETRIC}.toml", "[16, 16, 16]", "[16, 18, 16]")
    with pytest.raises(RecipeError, match=r"patch of dynunet's preset 'tiny' must be multiples"):
        load_model(recipe, runtime)


def test_a_bundled_recipe_without_weights_says_to_train_it_first(runtime: Runtime) -> None:
    name = "ct_abdomen_volumetric"
    path, recipe = find_weights(name)
    assert recipe is not None
    assert (recipe.weights, recipe.role, path.is_file()) == (None, "volumetric", False)
    with pytest.raises(CheckpointError, match=rf"train them first, with .* models/{name}\.toml"):
        load_model(name, runtime)
    with pytest.raises(RecipeError, match="is a volumetric, wanted a propagator"):
        load_propagator(name, runtime)


def test_missing_weights_say_where_and_what_to_do(folder: Path, runtime: Runtime) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors: there is no such .*ct_abdom"):
        load_model(folder / "nowhere.safetensors", runtime)
    (folder / f"{REFERENCE}.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"train\.py models/trial_reference\.toml"):
        load_model(folder / f"{REFERENCE}.toml", runtime)
    with pytest.raises(RecipeError, match=r"gone\.toml: cannot be read"):
        load_model(folder / "gone.toml", runtime)


def test_pickled_checkpoints_are_never_opened(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"state": torch.zeros(3)}, tmp_path / "best.pt")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(CheckpointError, match=r"best\.pt: is a pickled or zipped checkpoint"):
        load_model(tmp_path / "best.pt", runtime)


def test_weights_of_another_recipe_are_refused_with_the_difference(
    folder: Path, runtime: Runtime
) -> None:
    recipe = change(folder / f"{REFERENCE}.toml", "spacing_mm = 6.0", "spacing_mm = 3.5")
    change(recipe, "aorta = 3", "pancreas = 3")
    with pytest.raises(CheckpointError) as caught:
        load_model(recipe, runtime)
    text = str(caught.value)
    assert "input.spacing_mm is 6.0 there, 3.5 here" in text
    assert "organs.pancreas is absent there, 3 here" in text
    assert "organs.aorta is 3 there, absent here" in text
    assert "liver" not in text


def test_how_a_model_is_used_may_differ_from_its_weights(folder: Path, runtime: Runtime) -> None:
    recipe = change(folder / f"{REFERENCE}.toml", "every_mm = 10.0", "every_mm = 25.0")
    assert load_model(recipe, runtime).recipe.inference.sample_every_mm == 25.0


def test_digest_in_the_recipe_is_checked(folder: Path, runtime: Runtime) -> None:
    recipe, right = folder / f"{REFERENCE}.toml", digests(folder)[REFERENCE]
    text = recipe.read_text()
    weights = f'[weights]\nfile = "{REFERENCE}.safetensors"\nsha256 = "{{}}"\n'
    recipe.write_text(text + weights.format(right))
    assert load_model(recipe, runtime).sha256[REFERENCE] == right
    recipe.write_text(text + weights.format("0" * 64))
    with pytest.raises(CheckpointError, match=rf"{right[:12]}.*asks for 000000000000"):
        load_model(recipe, runtime)


def test_propagator_beside_the_weights_goes_before_the_bundled_one(
    folder: Path, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(Path(shutil.copytree(folder, tmp_path / "bundled")), monkeypatch)
    (folder / f"{PROPAGATOR}.safetensors").unlink()
    (folder / f"{PROPAGATOR}.toml").unlink()
    weights = folder / f"{REFERENCE}.safetensors"
    assert isinstance(load_model(weights, runtime).propagator, STCN)
    (folder / f"{PROPAGATOR}.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match=str(folder)):
        load_model(weights, runtime)


def test_another_propagator_can_be_named(
    trial_models: Path, folder: Path, runtime: Runtime
) -> None:
    weights = folder / f"{REFERENCE}.safetensors"
    for name in (f"{PROPAGATOR}.toml", f"{PROPAGATOR}.safetensors"):
        (folder / name).unlink()
        model = load_model(weights, runtime, propagator=trial_models / name)
        assert model.propagator_recipe.name == PROPAGATOR
    with pytest.raises(CheckpointError, match="there is no such weights file"):
        load_model(weights, runtime, propagator=folder / f"{PROPAGATOR}.safetensors")


def test_missing_propagator_is_asked_for(folder: Path, runtime: Runtime) -> None:
    (folder / f"{PROPAGATOR}.safetensors").unlink()
    (folder / f"{PROPAGATOR}.toml").unlink()
    with pytest.raises(RecipeError, match=r"beside it, as trial_propagator\.safetensors, nor bun"):
        load_model(folder / f"{REFERENCE}.safetensors", runtime)


def test_propagator_that_sees_slices_differently_is_refused(
    trial_models: Path, folder: Path, runtime: Runtime
) -> None:
    other = read_recipe(trial_models / f"{PROPAGATOR}.toml", changes=["input.spacing_mm=2.5"])
    network = build_network(other)
    save_weights(folder / f"{PROPAGATOR}.safetensors", network.state_dict(), other, card={})
    with pytest.raises(RecipeError, match=r"differently: input\.spacing_mm is 2\.5 there, 6\.0"):
        load_model(folder / f"{REFERENCE}.safetensors", runtime)


def test_role_must_fit(folder: Path, runtime: Runtime) -> None:
    with pytest.raises(RecipeError, match="is a propagator, wanted a reference"):
        load_model(folder / f"{PROPAGATOR}.toml", runtime)
    change(folder / f"{REFERENCE}.toml", f'"{PROPAGATOR}"', f'"{REFERENCE}"')
    with pytest.raises(RecipeError, match="is a reference, wanted a propagator"):
        load_model(folder / f"{REFERENCE}.toml", runtime)


def test_models_load_beside_packages_of_the_user_with_common_names(
    trial_models: Path, tmp_path: Path
) -> None:
    """Weights name no module, so a ``models`` of the user cannot be taken for one of ours."""
    for name in ("models", "utils", "networks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    code = "import sys, slicekit; print(slicekit.load_model(sys.argv[1]).recipe.name)"
    done = subprocess.run(
        [sys.executable, "-c", code, trial_models / f"{REFERENCE}.safetensors"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, REFERENCE), done.stderr


def test_a_model_is_a_value(trial_models: Path, runtime: Runtime) -> None:
    model = load_model(trial_models / f"{REFERENCE}.toml", runtime, propagator=False)
    assert isinstance(model, Model)
    with pytest.raises(AttributeError):
        model.recipe = None  # type: ignore[misc]


def test_own_models_are_found_by_name_where_the_program_runs(
    folder: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert folder.name == "models"
    model = load_model(REFERENCE, runtime)
    assert model.propagator_recipe is not None
    assert (model.recipe.name, model.propagator_recipe.name) == (REFERENCE, PROPAGATOR)
    assert model.sha256 == digests(folder)
    assert {REFERENCE, PROPAGATOR, "any_propagator"} < set(model_files())
    monkeypatch.chdir(folder)
    with pytest.raises(RecipeError, match=r"there is no model 'trial_reference'; .*any_propagator"):
        load_model(REFERENCE, runtime)


def test_of_one_name_the_bundled_model_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "any_propagator.toml").write_text("own")
    monkeypatch.chdir(folder.parent)
    assert model_files()["any_propagator"] == module.bundled("models") / "any_propagator.toml"
    assert recipe_of("any_propagator").role == "propagator"


def test_the_recipe_of_a_model_is_in_its_file_and_in_its_weights(folder: Path) -> None:
    recipe = recipe_of(folder / f"{REFERENCE}.toml")
    assert recipe == recipe_of(folder / f"{REFERENCE}.safetensors")
    (folder / f"{REFERENCE}.safetensors").unlink()
    assert recipe_of(folder / f"{REFERENCE}.toml") == recipe
    with pytest.raises(CheckpointError, match="cannot be read"):
        recipe_of(folder / f"{REFERENCE}.safetensors")


def test_weights_that_are_not_there_are_told_with_the_cure(folder: Path) -> None:
    expect_weights(folder / f"{REFERENCE}.safetensors", REFERENCE)
    with pytest.raises(CheckpointError, match=r"not there; train them first, .*models/one\.toml"):
        expect_weights(folder / "one.safetensors", "one")
