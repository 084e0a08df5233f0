"""A recipe can only be one that can be meant."""

from __future__ import annotations

import re

import pytest

from slicekit.errors import RecipeError
from slicekit.recipes import InputRecipe, parse_recipe, recipe_from_json
from slicekit.windows import PRESETS

TWO = [{"kind": "transunet", "preset": "tiny"}, {"kind": "deeplabv3plus", "preset": "tiny"}]
FPN = {"kind": "smp", "architecture": "FPN", "encoder": "resnet18"}
RANGES = [[-100, 200], [0, 100], [50, 300]]
SOLID = {
    "role": "volumetric",
    "networks": [{"kind": "dynunet"}],
    "input": {"windows": RANGES[:1]},
}


def recipe(*, organs=("liver", "spleen"), networks=TWO, role="reference", **tables):
    """A recipe of two organs; ``input`` and ``training`` change what these tables hold."""
    given = {
        "name": "small",
        "role": role,
        "organs": organs if isinstance(organs, dict) else {n: i for i, n in enumerate(organs, 1)},
        "networks": networks,
        "input": {"windows": RANGES, "spacing_mm": 2} | tables.pop("input", {}),
        "training": {"steps": 10} | tables.pop("training", {}),
    }
    return parse_recipe(given | tables, source="small.toml")


def test_a_recipe_says_what_it_was_given_and_the_usual_for_the_rest():
    chosen = recipe()
    assert chosen.labels.names == ("liver", "spleen")
    assert chosen.input.range_hu == (-100, 300)
    assert [window.range_hu for window in chosen.input.three_windows] == [
        (-100, 200),
        (0, 100),
        (50, 300),
    ]
    assert chosen.training.batch == 8
    assert chosen.input.body_above_hu == -100
    assert chosen.training.cps.weight == 0.1


@pytest.mark.parametrize(("count", "method"), [(1, "supervised"), (2, "cps"), (3, "side-by-side")])
def test_a_reference_is_of_one_to_three_networks(count, method):
    chosen = recipe(networks=(TWO * 2)[:count], training={"method": method})
    assert len(chosen.networks) == count


def test_a_network_of_others_is_named_by_its_parts_and_the_header_keeps_them():
    chosen = recipe(networks=[FPN, TWO[0] | {"start": "old.safetensors"}])
    assert (chosen.networks[0].architecture, chosen.networks[0].encoder) == ("FPN", "resnet18")
    assert [entry.start for entry in chosen.networks] == [None, "old.safetensors"]
    assert recipe_from_json(chosen.to_json(), source="header") == chosen


def test_a_volumetric_model_is_of_one_network_and_one_window():
    chosen = recipe(**SOLID)
    assert chosen.input.range_hu == (-100, 200)
    assert chosen.inference.coarse_spacing_mm == 2
    assert recipe_from_json(chosen.to_json(), source="header") == chosen


def test_a_preset_stands_for_its_windows():
    assert recipe(input={"windows": "ct-body"}).input.three_windows == PRESETS["ct-body"]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"training": {"steps": 0}}, "training.steps: Input should be greater"),
        ({"training": {"steps": "many"}}, "training.steps: .*integer"),
        ({"training": {"steps": 2.5}}, "training.steps: .*integer"),
        ({"training": {"learning_rate": float("inf")}}, "learning_rate: .*finite"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"training": {"seed": -1}}, "training.seed"),
        ({"training": {"ema": 1}}, "training.ema"),
        ({"training": {"partial": "margnal"}}, "training.partial: .*'marginal', 'masked' or"),
        ({"training": {"exclusion_weight": -1}}, "training.exclusion_weight: .*greater"),
        ({"training": {"clips": {"gap_mm": [9, 3]}}}, "begin with a smaller and a larger"),
        ({"training": {"clips": {"hardest": [0.9, 0.3, 1]}}}, "begin with a smaller and a larger"),
        ({"input": {"windows": "ct-bodi"}}, "unknown windows 'ct-bodi'; did you mean 'ct-body'"),
        ({"input": {"windows": RANGES[:2]}}, r"three \[low, high\] ranges"),
        ({"input": {"windows": [[2, 1], *RANGES[1:]]}}, r"three \[low, high\] ranges"),
        ({"input": {"windows": [[float("-inf"), 1], *RANGES[1:]]}}, "finite"),
        ({"input": {"spacing_mm": 0}}, "input.spacing_mm"),
        ({"input": {"modality": "PET"}}, "input.modality"),
        ({"organs": {"liver": 1, "kidney": 3}}, r"without gaps, got \[1, 3\]"),
        ({"organs": {"liver": 1, "kidney": 1}}, "'kidney' and 'liver' share the id 1"),
        ({"organs": {"liver": 0}}, "0 is the background"),
        ({"role": "teacher"}, "role: "),
        ({"role": "propagator"}, r"a propagator has 1 entry \[\[networks\]\], got 2"),
        ({"networks": []}, r"a reference has 1 to 3 entries \[\[networks\]\], got 0"),
        ({"networks": TWO * 2}, "a reference has 1 to 3 entries .* got 4"),
        ({"networks": [{"kind": "stcn"}, TWO[1]]}, "a reference cannot be .* 'stcn'"),
        ({"role": "propagator", "networks": TWO[:1]}, "a propagator cannot be .* 'transunet'"),
        ({"networks": [{"kind": "smp", "encoder": "resnet18"}]}, "needs both an architecture and"),
        ({"networks": [FPN | {"preset": "tiny"}]}, "has no presets, got 'tiny'"),
        ({"networks": [TWO[0] | {"encoder": "resnet18"}]}, "'transunet' has presets, not an arch"),
        ({"networks": [FPN | {"encoder": ""}]}, "needs both an architecture and an encoder"),
        ({"input": {"windows": RANGES[:1]}}, r"a reference sees 3 window\(s\), got 1"),
        (SOLID | {"input": {"windows": RANGES}}, r"a volumetric sees 1 window\(s\), got 3"),
        (SOLID | {"input": {"windows": "ct-body"}}, r"a volumetric sees 1 window\(s\), got 3"),
        (SOLID | {"networks": TWO[:1]}, "a volumetric cannot be .* 'transunet'"),
        (SOLID | {"inference": {"propagator": "x"}}, "no inference.propagator, got 'x'"),
        ({"networks": [TWO[0], {"kind": "dynunet"}]}, "a reference cannot be .* 'dynunet'"),
        ({"name": "../elsewhere"}, "name: "),
        ({"name": ""}, "name: "),
        ({"scores": {"dsc": float("nan")}}, "scores.dsc"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(changes, cause):
    with pytest.raises(RecipeError) as caught:
        recipe(**changes)
    assert str(caught.value).startswith("small.toml: ")
    assert re.search(cause, str(caught.value)), str(caught.value)


def test_ids_leave_room_for_the_label_of_what_nobody_annotated():
    stcn = {"role": "propagator", "networks": [{"kind": "stcn"}]}
    assert recipe(organs={"rib": 254}, **stcn).labels.names == ("rib",)
    with pytest.raises(RecipeError, match="below 255"):
        recipe(organs={"rib": 255}, **stcn)


def test_an_empty_string_is_none_where_that_is_allowed_and_itself_elsewhere():
    chosen = recipe(input={"body_above_hu": ""}, training={"held_out_group": ""}, about="")
    assert chosen.input.body_above_hu is None
    assert chosen.training.held_out_group is None
    assert chosen.about == ""


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        recipe().name = "other"


def test_recipes_are_equal_when_all_their_values_are():
    assert recipe() == recipe()
    assert recipe() != recipe(training={"batch": 9})
    assert isinstance(recipe().input, InputRecipe)
