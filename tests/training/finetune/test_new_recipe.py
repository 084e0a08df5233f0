"""The recipe of a new model is that of the model it goes on from, for a handful of scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.errors import RecipeError
from slicekit.inference.model import DEFAULT_PROPAGATOR
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe, parse_recipe, read_recipe, recipe_from_json, recipe_to_toml
from slicekit.training.finetune.new_recipe import STEPS, Scans, new_recipe, usual_name

MODELS = Path(__file__).resolve().parents[3] / "models"
ORGANS = LabelSet({"left ventricle": 1, "myocardium": 2})
CT = Scans(holds_hu=True, unlabelled=False, held_out=0)
MR = Scans(holds_hu=False, unlabelled=False, held_out=0)
PICTURES = Scans(holds_hu=None, unlabelled=False, held_out=0)


@pytest.fixture
def go_on() -> Callable[..., Recipe]:
    """Make a recipe from that of a bundled model, or from a recipe."""

    def made(base: str | Recipe, scans: Scans = CT, **options: Any) -> Recipe:
        recipe = read_recipe(MODELS / f"{base}.toml") if isinstance(base, str) else base
        usual: dict[str, Any] = {"start": recipe.name, "name": "mine", "steps": None}
        return new_recipe(recipe, organs=ORGANS, scans=scans, **usual | options)

    return made


@pytest.mark.parametrize(
    "base",
    ["ct_abdomen_reference", "any_propagator", "ct_abdomen_propagator", "abdomen_mr_fewshot"],
)
def test_it_is_a_recipe_that_can_be_written_and_read(
    base: str, go_on: Callable[..., Recipe], tmp_path: Path
) -> None:
    before = read_recipe(MODELS / f"{base}.toml")
    recipe = go_on(base, MR)
    assert (recipe.name, recipe.role, recipe.licence) == ("mine", before.role, before.licence)
    assert "Fine-tuned from" in recipe.about and "left ventricle" in recipe.about
    assert recipe.organs == ({} if recipe.role == "fewshot" else dict(ORGANS.ids))
    assert {network.start for network in recipe.networks} == {base}
    assert [n.preset for n in recipe.networks] == [n.preset for n in before.networks]
    assert (recipe.weights, recipe.scores) == (None, {})
    assert recipe.training.steps == STEPS[recipe.role]
    assert recipe.training.learning_rate == before.training.learning_rate / 2
    assert 0 < recipe.training.encoder_rate_share < 1
    assert recipe.training.phantoms == 0
    (tmp_path / "mine.toml").write_text(recipe_to_toml(recipe))
    assert read_recipe(tmp_path / "mine.toml") == recipe
    assert recipe_from_json(recipe.to_json(), source="header") == recipe


def test_it_is_the_same_from_a_recipe_in_a_header(go_on: Callable[..., Recipe]) -> None:
    for base in ("ct_abdomen_reference", "any_propagator", "abdomen_mr_fewshot"):
        recipe = read_recipe(MODELS / f"{base}.toml")
        assert go_on(recipe_from_json(recipe.to_json(), source=base), MR) == go_on(base, MR)


def test_mr_is_shown_to_a_model_of_ct_as_any_modality(go_on: Callable[..., Recipe]) -> None:
    before = read_recipe(MODELS / "ct_abdomen_reference.toml").input
    assert go_on("ct_abdomen_reference", CT).input == before
    assert go_on("ct_abdomen_reference", PICTURES).input == before
    shown = go_on("ct_abdomen_reference", MR).input
    assert (shown.modality, shown.body_above_hu) == ("any", None)
    assert (shown.windows, shown.spacing_mm) == (before.windows, before.spacing_mm)


def test_a_model_of_mr_takes_pictures_but_no_ct(go_on: Callable[..., Recipe]) -> None:
    before = read_recipe(MODELS / "abdomen_mr_fewshot.toml").input
    assert go_on("abdomen_mr_fewshot", MR).input == before
    assert go_on("abdomen_mr_fewshot", PICTURES).input == before
    with pytest.raises(RecipeError, match=r"trained on MR and these scans hold HU; .*--from a"):
        go_on("abdomen_mr_fewshot", CT)


def test_new_organs_are_carried_by_the_propagator_of_anything(
    go_on: Callable[..., Recipe], make_recipe: Callable[..., Recipe]
) -> None:
    for scans in (CT, MR, PICTURES):
        propagator = go_on("ct_abdomen_reference", scans).inference.propagator
        assert propagator == DEFAULT_PROPAGATOR
    base = make_recipe()
    assert go_on(base).inference.propagator is None  # as before
    carried = base.model_copy(
        update={"inference": base.inference.model_copy(update={"propagator": "its_own"})}
    )
    assert go_on(carried).inference.propagator == DEFAULT_PROPAGATOR
    assert go_on(carried, MR).inference.propagator is None  # it stretches MR over another range


def test_scans_without_labels_are_learnt_from_by_two_networks(
    go_on: Callable[..., Recipe], make_recipe: Callable[..., Recipe]
) -> None:
    free = Scans(holds_hu=True, unlabelled=True, held_out=0)
    training = go_on("ct_abdomen_reference", free).training
    assert (training.method, training.batch_unlabelled) == ("cps", 4)
    assert training.unlabelled_group == "unlabelled"
    training = go_on("ct_abdomen_reference", CT).training
    assert (training.method, training.batch_unlabelled) == ("side-by-side", 0)
    assert training.unlabelled_group is None
    alone = make_recipe(method="supervised")
    assert go_on(alone, free).training.method == "side-by-side"
    pupil = make_recipe(method="mean-teacher", batch_unlabelled=2)
    assert go_on(pupil, CT).training.method == "side-by-side"


def test_what_is_held_out_is_a_group(go_on: Callable[..., Recipe]) -> None:
    held = [Scans(holds_hu=True, unlabelled=False, held_out=count) for count in range(3)]
    groups = [go_on("ct_abdomen_reference", one).training.held_out_group for one in held]
    assert groups == [None, "val", "val"]
    few = [go_on("abdomen_ct_fewshot", one).training for one in held]
    assert [one.held_out_group for one in few] == [None, None, "val"]
    assert [one.labelled_group for one in few] == [None, "train", None]  # one is not learnt from
    assert all(one.fewshot.drawn_share > 0 for one in few)


def test_going_on_from_a_model_that_went_on_does_not_halve_the_rate_again(
    go_on: Callable[..., Recipe],
) -> None:
    once = go_on("ct_abdomen_reference")
    assert go_on(once).training.learning_rate == once.training.learning_rate


def test_rounds_and_teachers_of_the_old_training_are_forgotten(
    go_on: Callable[..., Recipe], make_recipe: Callable[..., Recipe]
) -> None:
    base = make_recipe(rounds={"count": 3}, seed=7)
    training = go_on(base).training
    assert training.rounds.count == 1 and training.seed == 7


def test_weights_are_named_by_their_whole_path(
    go_on: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.safetensors").touch()
    for start, wanted in (
        ("old.safetensors", str(tmp_path / "old.safetensors")),
        (Path("old.safetensors"), str(tmp_path / "old.safetensors")),
        ("organs_v1.2", "organs_v1.2"),  # a name
    ):
        networks = go_on("ct_abdomen_reference", start=start).networks
        assert {network.start for network in networks} == {wanted}


def test_what_cannot_be_gone_on_from_is_refused(go_on: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"is a volumetric model, .* go on --from a reference"):
        go_on("ct_abdomen_volumetric")
    with pytest.raises(RecipeError, match=r"training\.steps"):
        go_on("ct_abdomen_reference", steps=0)
    with pytest.raises(RecipeError, match="name"):
        go_on("ct_abdomen_reference", name="a b")


@pytest.mark.parametrize(
    ("organs", "name"),
    [
        (("left ventricle",), "left_ventricle_reference"),
        (("a", "b", "c", "d"), "a_b_c_reference"),
        (("(tumour)/1",), "tumour_1_reference"),
        (("Ödem",), "Ödem_reference"),
        (("++",), "_reference"),
    ],
)
def test_a_model_is_named_after_its_organs(organs: tuple[str, ...], name: str) -> None:
    found = usual_name(LabelSet({organ: n for n, organ in enumerate(organs, 1)}), "reference")
    assert found == name
    values = read_recipe(MODELS / "ct_abdomen_reference.toml").model_dump() | {"name": name}
    assert parse_recipe(values, source="test").name == name
