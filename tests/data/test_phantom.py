"""The made-up patient: what must be true of every draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from slicekit.data.phantom import PHANTOM_LABELS, Phantom, make_phantom
from slicekit.errors import GeometryError, ShapeError

SHAPE = (24, 64, 64)
SPACING_MM = (10.0, 6.0, 6.0)
SEEDS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [draw(seed) for seed in SEEDS]


def draw(seed: int) -> Phantom:
    return make_phantom(np.random.default_rng(seed), shape=SHAPE, spacing_mm=SPACING_MM)


def middle(phantom: Phantom, organ: str) -> np.ndarray:
    mask = phantom.labels.array == PHANTOM_LABELS.id_of(organ)
    return np.array(ndimage.center_of_mass(mask))


def test_one_seed_gives_the_same_bytes_and_another_seed_another_patient(phantoms):
    again = draw(SEEDS[0])
    assert again.image.array.tobytes() == phantoms[0].image.array.tobytes()
    assert again.labels.array.tobytes() == phantoms[0].labels.array.tobytes()
    assert not np.array_equal(phantoms[0].labels.array, phantoms[1].labels.array)


def test_types_grid_and_spacing(phantoms):
    for phantom in phantoms:
        assert phantom.image.array.dtype == np.int16
        assert phantom.labels.array.dtype == np.uint8
        assert phantom.image.shape == phantom.labels.shape == SHAPE
        assert phantom.image.spacing_mm == SPACING_MM
        assert phantom.image.same_grid(phantom.labels)


def test_the_affine_leads_to_the_head_the_back_and_the_left(phantoms):
    # RAS+: right, front and head are positive
    affine = phantoms[0].image.affine
    np.testing.assert_array_equal(affine[:3, :3], [[0, 0, -6], [0, -6, 0], [10, 0, 0]])


def test_every_organ_is_there_in_one_piece(phantoms):
    for phantom in phantoms:
        for organ, number in PHANTOM_LABELS.ids.items():
            _, parts = ndimage.label(phantom.labels.array == number, structure=np.ones((3, 3, 3)))
            assert parts == 1, organ
        assert phantom.labels.array.max() == 13


def test_organs_lie_where_they_do_in_people(phantoms):
    for phantom in phantoms:
        z, y, x = 0, 1, 2
        assert middle(phantom, "liver")[x] < middle(phantom, "spleen")[x]
        assert middle(phantom, "right_kidney")[x] < middle(phantom, "left_kidney")[x]
        assert middle(phantom, "right_adrenal_gland")[x] < middle(phantom, "left_adrenal_gland")[x]
        assert middle(phantom, "inferior_vena_cava")[x] < middle(phantom, "aorta")[x]
        assert middle(phantom, "stomach")[y] < middle(phantom, "left_kidney")[y]
        assert middle(phantom, "esophagus")[z] > middle(phantom, "pancreas")[z]
        assert middle(phantom, "left_adrenal_gland")[z] > middle(phantom, "left_kidney")[z]


def test_intensities_are_those_of_a_ct(phantoms):
    for phantom in phantoms:
        image, labels = phantom.image.array, phantom.labels.array
        assert image.min() >= -1024
        assert -1005 < np.median(image[:, :4, :4]) < -995  # air in the corner
        assert image.max() > 250  # bone
        assert (image[-4:] < -750).mean() > (image[:4] < -750).mean()  # lungs at the top
        for organ, low, high in [
            ("liver", 45, 150),
            ("spleen", 40, 160),
            ("right_kidney", 10, 200),
            ("aorta", 25, 190),
            ("gallbladder", -25, 60),
        ]:
            inside = labels == PHANTOM_LABELS.id_of(organ)
            assert low < np.median(image[inside]) < high, organ


def test_contrast_agent_brightens_the_aorta_in_some_patients_and_not_in_others():
    with_agent, without = draw(0), draw(28)
    medians = [
        np.median(phantom.image.array[phantom.labels.array == PHANTOM_LABELS.id_of("aorta")])
        for phantom in (with_agent, without)
    ]
    assert medians[1] < 60 < 100 < medians[0]


@pytest.mark.parametrize("shape", [(16, 48, 48), (20, 96, 50)])
def test_small_and_oblong_grids_hold_every_organ(shape):
    phantom = make_phantom(np.random.default_rng(7), shape=shape)
    assert set(np.unique(phantom.labels.array)) == set(range(14))


def test_impossible_grids_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeError, match="at least"):
        make_phantom(rng, shape=(8, 64, 64))
    with pytest.raises(GeometryError, match="above 0"):
        make_phantom(rng, shape=SHAPE, spacing_mm=(3.0, 0.0, 1.0))
