"""An organ drawn in one scan is found in another, whose extent nobody tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shades import IDS, SHAPE, dice, model, patient

from slicekit.errors import GeometryError, LabelError
from slicekit.inference.answers import SupportSettings, support_slices
from slicekit.inference.fewshot import find_organs
from slicekit.inference.model import load_propagator
from slicekit.labels import LabelSet
from slicekit.runtime import Runtime
from slicekit.volume import Volume

NAMES = LabelSet(IDS)


def test_few_slices_of_a_support_are_spread_and_hold_the_largest() -> None:
    mask = np.zeros((30, 4, 4), bool)
    mask[5:25, 0, 0] = True
    mask[9] = True  # it tapers, as what was drawn from end to end does
    shown, beyond = support_slices(mask, SupportSettings())
    assert 9 in shown and len(shown) <= 5
    assert min(shown) < 9 and max(shown) > 20
    assert len(beyond) == 4 and not mask[beyond].any()
    assert min(beyond) < 5 and max(beyond) >= 25


def test_all_slices_are_used_where_few_are_drawn_and_nothing_is_known_of_others() -> None:
    mask = np.zeros((30, 4, 4), bool)
    mask[[3, 8, 20]] = True
    assert support_slices(mask, SupportSettings()) == ([3, 8, 20], [])
    one = np.zeros((30, 4, 4), bool)
    one[3] = True
    assert support_slices(one, SupportSettings()) == ([3], [])
    with pytest.raises(LabelError, match="no slice of the support"):
        support_slices(np.zeros((3, 4, 4), bool), SupportSettings())


def test_slices_out_of_the_middle_of_an_organ_say_nothing_of_others() -> None:
    mask = np.zeros((30, 8, 8), bool)
    mask[14:17, 2:6, 2:6] = True
    shown, beyond = support_slices(mask, SupportSettings())
    assert (shown, beyond) == ([14, 15, 16], [])
    assert len(support_slices(mask, SupportSettings(whole=True))[1]) == 4
    mask[13, 3, 3] = mask[17, 3, 3] = True  # now it ends on both sides
    assert len(support_slices(mask, SupportSettings())[1]) == 4
    assert support_slices(mask, SupportSettings(whole=False))[1] == []


@pytest.mark.parametrize("join", [False, True])
def test_organs_are_found_slice_by_slice_with_the_ids_of_the_support(join: bool) -> None:
    (scan, drawn), (other, truth) = patient(), patient(3, brightest=700.0)
    told: list[str] = []
    found = find_organs(
        other, scan, drawn, NAMES, model(), settings=SupportSettings(join_neighbour=join),
        progress=lambda stage, done, total: told.append(f"{stage} {done}/{total}"),
    )  # fmt: skip
    assert found.labels.shape == SHAPE
    for name, number in IDS.items():
        assert dice(found.labels.array == number, truth.array == number) > 0.75, name
    assert found.labels.array.dtype == np.uint8
    assert found.missing == ()
    assert {guide.organ for guide in found.guides} == set(IDS)
    assert all((truth.array[g.z] == IDS[g.organ]).any() for g in found.guides)
    assert set(found.supports) == set(IDS)
    assert {"support 2/2", "look 18/18"} <= set(told)


def test_an_organ_far_from_its_place_in_the_body_is_another_one() -> None:
    (scan, drawn), (other, _) = patient(), patient()
    array = other.array.copy()
    array[7:12, 10:36, 64:86] = array[9, 36, 30]  # as bright as the liver, on the other side
    other = other.with_array(array)
    near = find_organs(other, scan, drawn, NAMES, model())
    free = SupportSettings(place=False)
    far = find_organs(other, scan, drawn, NAMES, model(), settings=free)
    held = near.labels.array[7:12, 10:36, 64:86] == IDS["liver"]
    assert not held.any()
    assert (far.labels.array[7:12, 10:36, 64:86] == IDS["liver"]).any()


def test_what_is_not_there_is_missing_and_empty() -> None:
    (scan, drawn), (other, truth) = patient(), patient()
    bare = np.where(truth.array == IDS["kidney"], other.array[0, 40, 40], other.array)
    found = find_organs(other.with_array(bare), scan, drawn, NAMES, model())
    assert found.missing == ("kidney",)
    assert not (found.labels.array == IDS["kidney"]).any()
    assert (found.labels.array == IDS["liver"]).any()


@pytest.mark.filterwarnings("ignore:the query. values from")  # the carrier is one of CT
def test_guides_stand_and_are_carried_through_the_scan(
    trial_models: Path, runtime: Runtime
) -> None:
    (scan, drawn), (other, _) = patient(), patient(2)
    carrier = load_propagator(trial_models / "trial_propagator.toml", runtime)
    told: list[str] = []
    found = find_organs(
        other, scan, drawn, NAMES, model(carrier, opinion_share=0.5),
        progress=lambda stage, done, total: told.append(stage),
    )  # fmt: skip
    by_slice = find_organs(other, scan, drawn, NAMES, model())
    assert "propagate" in told
    assert found.guides == by_slice.guides
    for guide in found.guides:
        here, there = (one.labels.array[guide.z] == IDS[guide.organ] for one in (found, by_slice))
        assert dice(here, there) > 0.95


def test_a_support_that_lacks_an_organ_says_what_it_has() -> None:
    scan, drawn = patient()
    only = drawn.with_array(np.where(drawn.array == IDS["liver"], drawn.array, 0))
    with pytest.raises(LabelError, match="does not show kidney, it shows liver"):
        find_organs(scan, scan, only, NAMES, model())
    nothing = drawn.with_array(np.zeros_like(drawn.array))
    with pytest.raises(LabelError, match="nothing is drawn"):
        find_organs(scan, scan, nothing, NAMES, model())


def test_drawings_of_another_grid_are_refused() -> None:
    scan, drawn = patient()
    moved = replace(drawn, affine=drawn.affine + np.eye(4) * [[0], [0], [1], [0]])
    with pytest.raises(GeometryError, match="what was drawn"):
        find_organs(scan, scan, Volume(moved.array, moved.affine), NAMES, model())


def test_a_slice_is_compared_with_its_surer_neighbour_where_that_is_asked_for() -> None:
    (scan, drawn), (other, truth) = patient(), patient(brightest=700.0)
    inside = truth.array == IDS["liver"]
    held = np.flatnonzero(inside.any(axis=(1, 2)))
    fading = other.array.copy()
    for n, z in enumerate(held):  # the support shows the brightest shade alone
        fading[z][inside[z]] = 700 * (0.9 - 0.28 * n / (len(held) - 1))
    liver = LabelSet({"liver": IDS["liver"]})

    def found(**changes: object) -> np.ndarray:
        settings = replace(SupportSettings(), **changes)  # type: ignore[arg-type]
        query = other.with_array(fading)
        return find_organs(query, scan, drawn, liver, model(), settings=settings).labels.array

    alone, joined = found(), found(join_neighbour=True)
    differ = {int(z) for z in np.flatnonzero((alone != joined).any(axis=(1, 2)))}
    assert differ and differ <= {int(z) for z in held}
    assert np.array_equal(found(join_neighbour=True, join_from=1.0), alone)  # none is so sure
