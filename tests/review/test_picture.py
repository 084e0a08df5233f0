"""A browser gets whole numbers, and is told what they mean."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.review.look import model_windows
from slicekit.review.picture import Picture
from slicekit.volume import Volume
from slicekit.windows import Window


def shown(array: np.ndarray) -> tuple[Picture, np.ndarray]:
    picture = Picture(Volume(array, np.eye(4)), [Window.from_range(-125, 275)])
    planes = [np.frombuffer(picture.plane(z), "<i2") for z in range(len(array))]
    whole = np.reshape(planes, array.shape) * picture.slope + picture.offset
    return picture, whole


@pytest.mark.parametrize("kind", ["int16", "uint8", ">i2", "int32"])
def test_whole_numbers_come_as_they_are(kind: str) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(kind)
    assert (shown(array)[1] == array).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_others_come_as_close_as_16_bits_allow(scale: float) -> None:
    array = (np.random.default_rng(0).normal(size=(3, 4, 5)) * scale).astype(np.float32)
    picture, whole = shown(array)
    assert np.abs(whole - array).max() <= 0.51 * picture.slope
    assert picture.slope <= 1.01 * (array.max() - array.min()) / 65535


def test_a_constant_scan_is_shown() -> None:
    assert np.allclose(shown(np.full((2, 3, 4), 0.25, np.float32))[1], 0.25)


def test_ct_is_seen_through_the_models_windows_and_mr_through_its_own_values() -> None:
    ct = np.full((4, 8, 8), -1000, np.int16)
    assert shown(ct)[0].presets[0][1:] == (-125.0, 275.0)
    mr = np.random.default_rng(0).integers(0, 900, (4, 8, 8)).astype(np.int16)
    assert [preset.name for preset in shown(mr)[0].presets] == ["contrast", "everything"]


def test_a_models_windows_are_known_without_loading_it() -> None:
    assert model_windows("any_propagator")[0].range_hu == (-125.0, 275.0)
    assert model_windows("no_such_model") == ()
