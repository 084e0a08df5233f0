"""Drawings are carried by a session that is kept, and can be stopped at any slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicekit.inference.model import Carrier, load_propagator
from slicekit.labels import LabelSet
from slicekit.review.carry import Courier
from slicekit.review.job import StoppedError
from slicekit.review.sheet import Origin
from slicekit.runtime import pick_runtime

NAMES = LabelSet({"liver": 1, "spleen": 2})


@pytest.fixture(scope="module")
def carrier(trial_models: Path) -> Carrier:
    runtime = pick_runtime("cpu", precision="float32", backend="torch", threads=1)
    return load_propagator(trial_models / "trial_propagator.toml", runtime)


@pytest.fixture
def guides(liver: Any) -> dict[str, dict[int, Any]]:
    zs = np.flatnonzero(liver.any(axis=(1, 2)))
    return {"liver": {int(z): liver[z] for z in (zs[0], zs[-1])}}


def test_slices_are_told_and_those_known_are_not_walked_again(
    carrier: Carrier, phantoms: tuple[Any, ...], guides: dict[str, Any], liver: Any
) -> None:
    courier = Courier(phantoms[0].image, NAMES, carrier)
    told: list[tuple[int, int]] = []
    answer = courier.carry(guides, given=set(), told=lambda *both: told.append(both))
    assert told and told == sorted(told) and told[-1][0] <= told[-1][1]
    assert set(answer.origin) == {1}
    first, last = sorted(guides["liver"])
    assert answer.origin[1][first] == Origin.DRAWN
    whole = told[-1][1]

    told.clear()
    courier.carry(guides, given=set(), told=lambda *both: told.append(both))
    assert told == []
    middle = (first + last) // 2
    more = {"liver": {**guides["liver"], middle: liver[middle]}}
    courier.carry(more, given=set(), told=lambda *both: told.append(both))
    assert 0 < told[-1][1] < whole


def test_what_is_stopped_goes_on_where_it_was(
    carrier: Carrier, phantoms: tuple[Any, ...], guides: dict[str, Any]
) -> None:
    def stop(done: int, total: int) -> None:
        raise StoppedError("stop")

    courier = Courier(phantoms[0].image, NAMES, carrier)
    with pytest.raises(StoppedError):
        courier.carry(guides, given=set(), told=stop)
    answer = courier.carry(guides, given=set(), told=lambda done, total: None)
    other = Courier(phantoms[0].image, NAMES, carrier)
    straight = other.carry(guides, given=set(), told=lambda done, total: None)
    assert (answer.labels == straight.labels).all()


def test_guides_may_change_hands_between_organs(
    phantoms: tuple[Any, ...], guides: dict[str, Any]
) -> None:
    courier = Courier(phantoms[0].image, NAMES, None)
    courier.carry(guides, given=set(), told=lambda done, total: None)
    answer = courier.carry({"spleen": guides["liver"]}, given=set(), told=lambda done, total: None)
    assert set(np.unique(answer.labels)) == {0, 2}
    assert set(answer.origin) == {2}
    nothing = courier.carry({}, given=set(), told=lambda done, total: None)
    assert not nothing.labels.any()


def test_guides_that_nobody_drew_are_called_given(
    phantoms: tuple[Any, ...], guides: dict[str, Any]
) -> None:
    first, last = sorted(guides["liver"])
    courier = Courier(phantoms[0].image, NAMES, None)
    answer = courier.carry(guides, given={("liver", last)}, told=lambda done, total: None)
    assert answer.origin[1][[first, last]].tolist() == [Origin.DRAWN, Origin.GIVEN]


def test_finished_gaps_are_shown_one_after_the_other(
    carrier: Carrier, phantoms: tuple[Any, ...], liver: Any
) -> None:
    zs = [int(z) for z in np.flatnonzero(liver.any(axis=(1, 2)))]
    drawn = {z: liver[z] for z in (zs[0], zs[len(zs) // 2], zs[-1])}
    steps: list[tuple[str, int]] = []
    answer = Courier(phantoms[0].image, NAMES, carrier).carry(
        {"liver": drawn},
        given=set(),
        told=lambda done, total: steps.append(("looked", done)),
        shown=lambda piece: steps.append(("shown", piece.z)),
    )
    shown = [z for kind, z in steps if kind == "shown"]
    assert sorted(shown) == [z for z in range(len(liver)) if z not in drawn]
    first = steps.index(("shown", next(z for z in shown if zs[0] < z < zs[-1])))
    assert "looked" in [kind for kind, _ in steps[first:]], "while others are carried"
    assert answer.origin[1][zs[0]] == Origin.DRAWN
