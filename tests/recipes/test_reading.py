"""A recipe file is read as it is meant, or refused with the likely key."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicekit.errors import RecipeError
from slicekit.inference.model import build_network
from slicekit.recipes import read_recipe, recipe_from_json
from slicekit.windows import PRESETS

MODELS = sorted((Path(__file__).resolve().parents[2] / "models").glob("*.toml"))

TOML = """
name = "small"
role = "reference"
organs = {liver = 1, spleen = 2}
networks = [{kind = "transunet", preset = "tiny"}, {kind = "deeplabv3plus", preset = "tiny"}]

[input]
windows = [[-100, 200.0], [0, 100], [50, 300]]
spacing_mm = 2

[training]
steps = 10
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    return path


def refusal(file, *changes):
    with pytest.raises(RecipeError) as caught:
        read_recipe(file, changes=changes)
    return str(caught.value)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_read_and_can_be_built(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe_from_json(recipe.to_json(), source="header") == recipe
    build_network(recipe)


@pytest.mark.parametrize(
    ("change", "key", "meant"),
    [
        ("rolle=1", "rolle", "role"),
        ("training.stepz=1", "training.stepz", "steps"),
        ("training.cps.wieght=1", "training.cps.wieght", "weight"),
        ("training.clips.gap=[1, 2]", "training.clips.gap", "gap_mm"),
        ("inference.topk=1", "inference.topk", "top_k"),
        ("weights={file='a', sha256='b', fil='c'}", "weights.fil", "file"),
        ("networks=[{kindd='stcn', kind='a'}, {kind='b'}]", "networks.0.kindd", "kind"),
    ],
)
def test_misspelt_keys_are_refused_with_the_likely_one(file, change, key, meant):
    said = refusal(file, change)
    assert said.startswith(f"{file}: ")
    assert f"unknown key '{key}'; did you mean '{meant}'" in said


def test_every_fault_is_told_at_once(file):
    said = refusal(file, "training.steps=0", "input.spacng_mm=1", "role=teacher")
    assert all(word in said for word in ("training.steps", "spacng_mm", "role"))


def test_a_value_where_a_list_is_wanted_is_shown_as_a_list(file):
    said = refusal(file, "training.rounds.rules=volume")
    assert "training.rounds.rules: wanted a list, such as '[\"volume\"]', got 'volume'" in said
    said = refusal(file, "training.crop=128")
    assert "training.crop: wanted a list, such as '[128]', got 128" in said
    said = refusal(file, "training.crop={y=1}")
    assert said.endswith("training.crop: wanted a list, got {'y': 1}")


def test_missing_keys_are_named(file):
    file.write_text(TOML.replace("steps = 10", "").replace('name = "small"', ""))
    said = refusal(file)
    assert "the key 'name' is missing; the key 'training.steps' is missing" in said


def test_changes_are_toml_values_at_dotted_keys(file):
    recipe = read_recipe(
        file,
        changes=[
            "training.steps = 200",
            "training.cps.weight=0.5",
            "input.windows=ct-body",
            "about=a liver = a liver",
            "training.crop=[32, 48]",
            "training.labelled_group=''",
            'input.body_above_hu=""',
        ],
    )
    assert recipe.training.steps == 200
    assert recipe.training.cps.weight == 0.5
    assert recipe.input.three_windows == PRESETS["ct-body"]
    assert recipe.about == "a liver = a liver"
    assert recipe.training.crop == (32, 48)
    assert recipe.training.labelled_group is None
    assert recipe.input.body_above_hu is None


@pytest.mark.parametrize("change", ["training.steps", "=3", "", "name.x=3"])
def test_changes_that_are_none_are_refused(file, change):
    assert refusal(file, change).startswith("--set ")


def test_the_header_keeps_every_value_even_none(file):
    changes = [
        "training.labelled_group=''",
        "training.held_out_group=''",
        "input.body_above_hu=''",
        "inference.propagator=''",
        "scores={dsc=0.5, liver=1}",
    ]
    recipe = read_recipe(file, changes=changes)
    again = recipe_from_json(recipe.to_json(), source="header")
    assert again == recipe
    assert again.training.held_out_group is None
    assert "\n" not in recipe.to_json()


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = " + b"[" * 100_000])
def test_what_is_not_toml_is_refused(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: is not TOML")


def test_absent_files_and_folders_are_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "absent.toml")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null", '{"name": 1}'])
def test_headers_that_hold_no_recipe_are_refused(text):
    with pytest.raises(RecipeError, match=r"^header: "):
        recipe_from_json(text, source="header")


def test_a_file_that_is_not_there_is_told_with_the_likely_one(file, tmp_path):
    said = refusal(file.with_name("smal.toml"))
    assert said.endswith("; did you mean 'small.toml'? There are: small.toml")
    assert refusal(tmp_path / "nowhere" / "small.toml").endswith(")")
