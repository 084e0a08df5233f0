"""How sure a reference is of a scan, alone and through the pipeline, on answers known before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slicekit.data.grid import InPlane
from slicekit.errors import RecipeError
from slicekit.inference.model import Model, load_model
from slicekit.inference.pipeline import segment_volume
from slicekit.inference.witness import Witness
from slicekit.labels import LabelSet
from slicekit.recipes import Recipe
from slicekit.runtime import Runtime
from slicekit.volume import Volume

AFFINE = np.array([[0, 0, -6.0, 50], [0, -6.0, 0, 60], [5.0, 0, 0, -70], [0, 0, 0, 1]])
"""5 mm between slices, 6 mm pixels: the pixels of the trial recipe."""
ORGANS = LabelSet({"liver": 1, "spleen": 2})


def one_hot(choices: np.ndarray, classes: int = 3) -> Tensor:
    """Members that are certain: ``(members, y, x)`` to ``(members, classes, y, x)``."""
    hot = torch.nn.functional.one_hot(torch.from_numpy(choices).long(), classes)
    return hot.permute(0, 3, 1, 2).float()


class Quarrel:
    """One network finds liver above 200 HU, the others above 120 HU too; slices are counted."""

    def __init__(self, members: int = 2) -> None:
        self.members = members
        self.seen: Counter[int] = Counter()

    def __call__(self, slices: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        self.seen.update((position * 11).round().int().tolist())
        hu = slices[:, 0] * 400 - 125
        said = []
        for threshold in (200, 120, 120)[: self.members]:
            liver = torch.where(hu > threshold, 20.0, -20.0)
            nothing = torch.zeros_like(hu)
            said.append(torch.stack([nothing, liver, nothing - 40, nothing - 40], dim=1))
        return tuple(said)


def boxes() -> Volume:
    """A body of 12 slices: 160 pixels of 260 HU, and 80 of 160 HU, on slices 2 to 8."""
    array = np.full((12, 40, 40), -1000, dtype=np.int16)
    array[:, 4:36, 4:36] = 40
    array[2:9, 10:26, 12:22] = 260
    array[2:9, 10:26, 22:27] = 160
    return Volume(array, AFFINE)


@pytest.fixture(scope="module")
def random(trial_models: Path, runtime: Runtime) -> Model:
    return load_model(trial_models / "trial_reference.toml", runtime)


@pytest.fixture
def model(random: Model, paper: Any) -> Model:
    inference = random.recipe.inference.model_copy(update={"selector": "agreement"})
    recipe = random.recipe.model_copy(update={"inference": inference})
    return replace(random, recipe=recipe, reference=Quarrel(), propagator=paper)


def test_agreement_is_counted_over_the_whole_scan() -> None:
    witness = Witness((3, 4, 4), InPlane((4, 4), (0, 4, 0, 4), (4, 4)))
    first = np.zeros((2, 4, 4), int)
    first[0, :2] = 1  # 8 pixels and none
    second = np.zeros((2, 4, 4), int)
    second[:, :3] = 1  # 12 and 12
    witness.note(0, one_hot(first))
    assert witness.unseen == [1, 2]
    witness.note(2, one_hot(second))
    witness.note(2, one_hot(first))  # a second look counts nothing
    assert witness.unseen == [1]
    labels = np.zeros((3, 4, 4), np.uint8)
    labels[0, :2] = labels[2, :3] = 1
    found = witness.organs(labels, ORGANS, carried=True)
    assert found["liver"].agreement == pytest.approx(2 * 12 / 32)
    # the vote is a tie on the first slice, where the background comes first
    assert found["liver"].agreement_with_reference == pytest.approx(2 * 12 / 32)
    # two certain networks that contradict one another are wholly uncertain, on 8 of 20 pixels
    assert found["liver"].certainty == pytest.approx(1 - 8 / 20, abs=1e-3)
    assert set(vars(found["spleen"]).values()) == {None}
    assert witness.organs(labels, ORGANS, carried=False)["liver"].agreement_with_reference is None


def test_three_networks_make_three_pairs_and_one_makes_none() -> None:
    grid = InPlane((2, 4), (0, 2, 0, 4), (2, 4))
    choices = np.zeros((3, 2, 4), int)
    choices[0], choices[1, :, :2] = 1, 1  # 8, 4 and 0 pixels: Dice 2/3, 0 and 0
    three, one = Witness((1, 2, 4), grid), Witness((1, 2, 4), grid)
    three.note(0, one_hot(choices))
    one.note(0, one_hot(choices[:1]))
    labels = np.ones((1, 2, 4), np.uint8)
    agreement = three.organs(labels, ORGANS, carried=False)["liver"].agreement
    assert agreement == pytest.approx(2 / 9)
    alone = one.organs(labels, ORGANS, carried=True)["liver"]
    assert (alone.agreement, alone.certainty, alone.agreement_with_reference) == (None, 1, 1)


def test_a_finer_scan_is_compared_where_the_networks_pixels_lie() -> None:
    witness = Witness((1, 10, 12), InPlane((10, 12), (2, 10, 0, 12), (4, 6)))
    choices = np.zeros((2, 4, 6), int)
    choices[:, :2, :3] = 300  # ids above 255 are counted too
    choices[1, 2:, 3:] = 1
    witness.note(0, one_hot(choices, classes=301))
    labels = np.zeros((1, 10, 12), np.uint16)
    labels[0, 2:6, :6] = 300
    found = witness.organs(labels, LabelSet({"liver": 1, "far": 300}), carried=True)
    assert (found["far"].agreement, found["far"].agreement_with_reference) == (1, 1)
    assert (found["liver"].agreement, found["liver"].certainty) == (0, None)
    assert not witness.map[0, :2].any()
    assert witness.map[0, 8:, 9:].min() > 0.9
    assert not witness.map[0, 2:5, :5].any()


@pytest.mark.parametrize("propagation", [True, False])
def test_the_map_is_bright_where_networks_quarrel(model: Model, propagation: bool) -> None:
    scan = boxes()
    kept = model if propagation else replace(model, propagator=None)
    told: dict[str, list[int]] = {}
    done = segment_volume(
        scan, kept, uncertainty=True, progress=lambda s, n, of: told.setdefault(s, []).append(of)
    )
    assert done.uncertainty is not None
    found = done.uncertainty.array
    assert (found.shape, found.dtype) == (scan.shape, np.float16)
    assert done.uncertainty.affine.tobytes() == scan.affine.tobytes()
    quarrel = scan.array == 160
    assert found[quarrel].min() > 0.99
    assert found[~quarrel].max() < 0.01
    # on every slice 160 pixels of the one network and 240 of the other
    assert done.certainty["liver"].agreement == pytest.approx(2 * 160 / (160 + 240))
    assert done.certainty["spleen"].agreement is None
    assert (done.certainty["liver"].agreement_with_reference is None) is not propagation
    assert set(done.seconds) - set(segment_volume(scan, kept).seconds) == {"uncertainty"}


@pytest.mark.parametrize(("members", "share"), [(1, 0.5), (2, 0.0), (3, 0.5)])
def test_every_slice_is_seen_and_the_labels_stay_what_they_are(
    model: Model, members: int, share: float
) -> None:
    inference = model.recipe.inference.model_copy(update={"opinion_share": share})
    recipe = model.recipe.model_copy(update={"inference": inference})
    model = replace(model, recipe=recipe, reference=Quarrel(members))
    plain = segment_volume(boxes(), model)
    before = Counter(model.reference.seen)
    model.reference.seen.clear()
    done = segment_volume(boxes(), model, uncertainty=True)
    np.testing.assert_array_equal(done.labels.array, plain.labels.array)
    assert (plain.uncertainty, plain.certainty) == (None, {})
    more = model.reference.seen - before
    assert set(model.reference.seen) == set(range(12))
    assert set(more) == set(range(12)) - set(before)  # nothing is looked at once more
    assert (done.certainty["liver"].agreement is None) is (members == 1)


def test_organs_that_are_carried_in_regions_have_a_map_too(
    model: Model, random: Model, make_recipe: Callable[..., Recipe]
) -> None:
    carrier = make_recipe("propagator", tracks={})
    kept = replace(model, propagator=random.propagator, propagator_recipe=carrier)
    done = segment_volume(boxes(), kept, organs=["liver"], uncertainty=True)
    assert kept.carrier is not None
    assert kept.carrier.in_regions
    assert done.uncertainty is not None
    assert done.uncertainty.array[boxes().array == 160].min() > 0.99
    assert done.certainty.keys() == {"liver"}
    assert set(kept.reference.seen) == set(range(12))


def test_a_volumetric_model_is_refused_before_any_work(
    trial_models: Path, runtime: Runtime
) -> None:
    solid = load_model(trial_models / "trial_volumetric.toml", runtime)
    idle = replace(solid, reference=lambda *_: pytest.fail("a network was run"))
    with pytest.raises(RecipeError, match="'trial_volumetric' is a volumetric model; choose a ref"):
        segment_volume(boxes(), idle, uncertainty=True)
