"""A pilot keeps something apart that it can be judged on, and says how it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.data.slices import CachedScan
from slicekit.errors import DataWarning
from slicekit.labels import IGNORE_ID
from slicekit.training.finetune.pilot import Expectation, Trial, fly_pilot, hide_blocks, plan_trial
from slicekit.training.material import Material

SIDE = 48


def scan_of(name: str = "a", *, depth: int = 12, **organs: range) -> CachedScan:
    """A scan with a square for each organ, ``id_1=range(3, 6)``, on those slices."""
    labels = np.zeros((depth, SIDE, SIDE), np.uint8)
    for n, (organ, held) in enumerate(organs.items()):
        labels[held.start : held.stop, 4:20, 2 + 22 * n : 20 + 22 * n] = int(organ[3:])
    seed = sum(map(ord, name))
    steps = np.random.default_rng(seed).integers(0, 9000, labels.shape).astype(np.int16)
    steps[labels > 0] += 5000
    return CachedScan(name, steps, labels, 5.0, digest=name)


def material(*scans: CachedScan, held: tuple[CachedScan, ...] = ()) -> Material:
    return Material(scans, held, (), ())


@pytest.fixture
def plan(make_recipe: Any, runtime: Any) -> Callable[..., Trial | None]:
    """Plan the trial of a material; keywords change the recipe's [training]."""

    def planned(found: Material, role: str = "reference", **training: Any) -> Trial | None:
        recipe = make_recipe(role, **training)
        return plan_trial(found, recipe, recipe.labels, runtime)

    return planned


def test_what_is_held_out_anyway_is_judged_on(plan: Callable[..., Any]) -> None:
    found = material(scan_of("a", id_1=range(3, 6)), held=(scan_of("h", id_1=range(3, 6)),))
    trial = plan(found)
    assert trial.material is found and trial.judged == found.held_out
    assert not trial.same_scan


def test_the_last_scan_whose_organs_the_others_teach_is_kept_apart(
    plan: Callable[..., Any],
) -> None:
    one, two = scan_of("a", id_1=range(3, 6)), scan_of("b", id_1=range(3, 6))
    both = scan_of("c", id_1=range(3, 6), id_2=range(3, 6))
    empty = scan_of("d")
    for scans, judged in (
        ((one, two), two),
        ((one, two, both), two),  # nobody else knows organ 2
        ((both, one, empty), one),
        ((one, empty, both), one),
    ):
        trial = plan(material(*scans))
        assert trial.judged == trial.material.held_out == (judged,)
        assert set(trial.material.labelled) == set(scans) - {judged}
        assert not trial.same_scan


def test_slices_are_kept_apart_where_no_scan_can_be(plan: Callable[..., Any]) -> None:
    for scans in (
        (scan_of("a", id_1=range(2, 10)),),
        (scan_of("a", id_1=range(2, 10)), scan_of("b", id_2=range(2, 10))),
    ):
        trial = plan(material(*scans))
        assert trial.same_scan
        assert [scan.name for scan in trial.judged] == [scan.name for scan in scans]
        for kept, judged in zip(trial.material.labelled, trial.judged, strict=True):
            taught, asked = (next(iter(one.slices_of.values())) for one in (kept, judged))
            assert not set(taught) & set(asked) and len(taught) and len(asked)


def test_one_drawn_slice_leaves_nothing_to_judge_on(
    plan: Callable[..., Any], make_recipe: Any, runtime: Any, tmp_path: Path
) -> None:
    found = material(scan_of("a", id_1=range(4, 5)))
    assert plan(found) is None
    recipe = make_recipe()
    with pytest.warns(DataWarning, match=r"nothing tells what to expect .* draw the organ on more"):
        said = fly_pilot(found, recipe, recipe.labels, out=tmp_path / "pilot", runtime=runtime)
    assert said is None
    assert not (tmp_path / "pilot").exists()


def test_every_other_block_of_drawn_slices_is_forgotten() -> None:
    scan = scan_of("a", depth=20, id_1=range(4, 12), id_2=range(10, 16))
    drawn = set(range(4, 16))
    sides = [hide_blocks(scan, odd=odd) for odd in (True, False)]
    hidden = [
        {z for z in range(20) if (side.labels[z] == IGNORE_ID).all()}  # type: ignore[index]
        for side in sides
    ]
    assert hidden[0] | hidden[1] == drawn and not hidden[0] & hidden[1]
    assert hidden[0] == {7, 8, 9, 13, 14, 15}
    assert scan.labels is not None and not (scan.labels == IGNORE_ID).any()
    assert hide_blocks(replace(scan, labels=None), odd=True).labels is None


def test_a_few_shot_model_is_judged_on_the_last_scan_that_others_support(
    plan: Callable[..., Any],
) -> None:
    few = partial(plan, role="fewshot")
    drawn = [scan_of(name, id_1=range(2, 10)) for name in "abc"]
    other = scan_of("d", id_2=range(2, 10))
    free = scan_of("e")
    trial = few(Material((), (), (*drawn, free), ()))
    assert trial.judged == (drawn[2],)
    assert trial.material.free == (drawn[0], drawn[1], free)
    assert few(Material((), (), (drawn[0], free), ())) is None
    assert few(Material((), (), (drawn[0], other), ())) is None


@pytest.fixture
def fly(make_recipe: Any, runtime: Any, tmp_path: Path) -> Callable[..., Expectation | None]:
    """Fly a pilot of the smallest networks."""

    def flown(found: Material, role: str = "reference", **training: Any) -> Expectation | None:
        usual = {"steps": 2, "crop": [32, 32], "learning_rate": 1e-2}
        recipe = make_recipe(role, **usual | training)
        return fly_pilot(found, recipe, recipe.labels, out=tmp_path / "pilot", runtime=runtime)

    return flown


def test_a_reference_is_judged_on_every_slice_that_is_left(fly: Callable[..., Any]) -> None:
    scan = scan_of("a", depth=30, id_1=range(13, 15))  # one slice to learn from, one to judge on
    said = fly(material(scan), method="side-by-side")
    assert said is not None and said.same_scan
    assert (said.steps, said.of_steps, said.judged_on) == (2, 2, ("a",))
    assert len(said.dsc) == 2 and 0 <= said.dsc["dsc"] <= 1  # the mean and the organ
    again = fly(material(scan), method="side-by-side")
    assert again == said  # from the state


def test_a_propagator_is_judged_by_organ(fly: Callable[..., Any]) -> None:
    scans = [scan_of(name, id_1=range(2, 10), id_2=range(2, 11)) for name in "ab"]
    tracks = {"size": 32, "least_mm": 80.0, "slices": 2, "last_slices": 2}
    said = fly(material(*scans), "propagator", tracks=tracks, steps=1)
    assert said is not None and not said.same_scan
    assert len(said.dsc) == 4 and "copy" in said.dsc
    assert "where the drawn mask left as it is has" in str(said)


def test_a_pilot_that_cannot_be_flown_stops_nothing(fly: Callable[..., Any]) -> None:
    scan = scan_of("a", depth=2, id_1=range(2))  # one drawn slice each, nothing to walk
    tracks = {"size": 32, "least_mm": 80.0, "slices": 2, "last_slices": 2}
    with pytest.warns(DataWarning, match=r"nothing tells what to expect .* to be followed"):
        assert fly(material(scan), "propagator", tracks=tracks, steps=1) is None


def test_what_to_expect_is_one_sentence() -> None:
    said = Expectation(120, 600, tuple("abcd"), False, {"dsc": 0.5, "liver": 0.25, "aorta": 0.75})
    text = str(said)
    assert text.startswith("after 120 of 600 steps: DSC 0.50 (liver 0.25, aorta 0.75) on a, b, c")
    assert "and 1 more, not seen before" in text
    same = str(replace(said, judged_on=("a",), same_scan=True, dsc={"dsc": 0.5}))
    assert "DSC 0.50 on slices of a that it had not seen; another patient's will be worse" in same
