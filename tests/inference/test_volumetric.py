"""A scan as a solid: known shapes come back on its own grid, and want of memory is coped with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slicekit.errors import DataWarning, SlicekitError
from slicekit.inference import volumetric as module
from slicekit.inference.model import Model, load_model
from slicekit.inference.pipeline import segment, segment_volume
from slicekit.inference.volumetric import name_in_patches
from slicekit.metrics import dice
from slicekit.recipes import Recipe, parse_recipe
from slicekit.runtime import Runtime
from slicekit.volume import Volume

LIVER, SPLEEN = 1, 2


class Threshold(nn.Module):
    """Names a voxel by its HU: the liver is brighter than the spleen."""

    def __init__(self) -> None:
        super().__init__()
        self.patches: list[tuple[int, ...]] = []

    def forward(self, solids: Tensor) -> Tensor:
        self.patches.append(tuple(solids.shape))
        hu = solids[:, 0] * 600 - 300
        liver, spleen = hu > 200, (hu > 100) & (hu <= 200)
        return 20.0 * torch.stack([~(liver | spleen), liver, spleen], dim=1).float()


@pytest.fixture
def recipe() -> Recipe:
    """A volumetric model of 2 mm voxels and patches of 16."""
    return parse_recipe(
        {
            "name": "solid",
            "role": "volumetric",
            "input": {"windows": [[-300, 300]], "spacing_mm": 2.0},
            "organs": {"liver": LIVER, "spleen": SPLEEN},
            "networks": [{"kind": "dynunet", "preset": "tiny"}],
            "training": {"steps": 1, "patch": [16, 16, 16]},
            "inference": {"coarse_spacing_mm": 4.0},
        },
        source="test",
    )


@pytest.fixture
def model(trial_models: Path, runtime: Runtime) -> Model:
    """Random weights."""
    return load_model(trial_models / "trial_volumetric.toml", runtime)


def boxes(spacing_mm: tuple[float, float, float], shape: tuple[int, int, int]) -> Volume:
    """A body of 40 HU with a liver of 280 and a spleen of 160 HU, edges between voxels."""
    z, y, x = shape
    array = np.full(shape, -1000, dtype=np.int16)
    array[:, y // 8 : -(y // 8), x // 8 : -(x // 8)] = 40
    array[z // 4 : z // 2, y // 4 : y // 2, x // 4 : x // 2] = 280
    array[z // 3 : z * 3 // 4, y // 2 + y // 8 : y * 3 // 4, x // 3 : x // 2] = 160
    affine = np.array([[0, 0, -1, 50], [0, -1, 0, 60], [1, 0, 0, -70], [0, 0, 0, 1.0]])
    affine[:3, :3] *= np.array(spacing_mm)
    return Volume(array, affine)


def truth(scan: Volume) -> np.ndarray:
    ids = np.where(scan.array > 200, LIVER, 0)
    return np.where((scan.array > 100) & (scan.array <= 200), SPLEEN, ids)


def bounds(mask: np.ndarray) -> np.ndarray:
    """First and last voxel along every axis."""
    return np.array([(at.min(), at.max()) for at in np.nonzero(mask)])


def test_a_scan_on_the_models_grid_is_named_voxel_by_voxel(
    recipe: Recipe, runtime: Runtime
) -> None:
    scan, network = boxes((2, 2, 2), (24, 40, 56)), Threshold()
    found = name_in_patches(scan, network, recipe, runtime)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, truth(scan))
    assert set(network.patches) == {(1, 1, 16, 16, 16)}
    assert len(network.patches) > 8


@pytest.mark.parametrize(
    ("spacing_mm", "shape"),
    [
        ((5.0, 2.0, 2.0), (16, 40, 48)),
        ((0.8, 2.0, 2.0), (60, 40, 48)),
        ((3.7, 1.3, 0.9), (19, 61, 83)),
        ((1.0, 1.0, 1.0), (41, 64, 56)),
        ((9.0, 3.0, 4.0), (9, 31, 23)),
    ],
    ids=["thick", "thin", "odd", "fine", "coarse"],
)
def test_shapes_come_back_to_a_voxel_on_any_grid(
    recipe: Recipe, runtime: Runtime, spacing_mm: tuple[float, float, float], shape: tuple
) -> None:
    scan = boxes(spacing_mm, shape)
    found, wanted = name_in_patches(scan, Threshold(), recipe, runtime), truth(scan)
    assert found.shape == shape
    # half a voxel of either grid, so one voxel of the finer one or more
    allowed = np.maximum(1, np.ceil(1.0 / np.array(spacing_mm)))[:, None]
    apart = np.abs(bounds(found == LIVER) - bounds(wanted == LIVER))
    assert (apart <= allowed).all(), apart
    # the liver's blurred edge passes through the spleen's HU, so both count as one
    assert dice(wanted > 0, found > 0) > 0.88


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 1, 1), (1, 1, 1), (2, 5, 90)])
def test_scans_smaller_than_a_patch_are_named(
    shape: tuple[int, int, int], recipe: Recipe, runtime: Runtime
) -> None:
    scan = Volume(np.full(shape, 280, np.int16), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert (name_in_patches(scan, Threshold(), recipe, runtime) == LIVER).all()


def test_patches_are_told_up_to_their_number(recipe: Recipe, runtime: Runtime) -> None:
    told: list[tuple[int, int]] = []
    network = Threshold()
    scan = boxes((2, 2, 2), (24, 40, 56))
    name_in_patches(scan, network, recipe, runtime, told=lambda *step: told.append(step))
    count = len(network.patches)
    assert told == [(n, count) for n in range(1, count + 1)]


def refuses(fault: Exception, *, above: int) -> Callable[[Tensor], Tensor]:
    """A network that fails as long as it has looked at fewer patches than told."""
    threshold, looks = Threshold(), iter(range(above))

    def look(patches: Tensor) -> Tensor:
        if next(looks, None) is not None:
            raise fault
        return threshold(patches)

    return look


OOM = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
SCAN = boxes((4, 4, 4), (24, 40, 48))


@pytest.mark.parametrize("fault", [MemoryError(), OOM, RuntimeError("CUDA out of memory")])
def test_where_memory_runs_out_voxels_are_larger_and_a_warning_says_so(
    recipe: Recipe, runtime: Runtime, fault: Exception
) -> None:
    with pytest.warns(DataWarning, match=r"x\.nii: 2 mm voxels do not fit .* 4 mm voxels inst"):
        found = name_in_patches(SCAN, refuses(fault, above=1), recipe, runtime, name="x.nii")
    np.testing.assert_array_equal(found, truth(SCAN))


def test_a_grid_that_does_not_fit_is_not_begun(
    recipe: Recipe, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Threshold()
    body = 24 * 34 * 40  # the scan's own voxels of 4 mm, about
    monkeypatch.setattr(module, "available_bytes", lambda: 3 * body * 24)
    with pytest.warns(DataWarning, match="4 mm voxels instead"):
        np.testing.assert_array_equal(name_in_patches(SCAN, network, recipe, runtime), truth(SCAN))
    seen = len(network.patches)
    monkeypatch.setattr(module, "available_bytes", lambda: 1000)
    with (
        pytest.warns(DataWarning),
        pytest.raises(MemoryError, match=r"voxels need 765 KiB, 1000 bytes are left"),
    ):
        name_in_patches(SCAN, network, recipe, runtime)
    assert len(network.patches) == seen


def test_other_faults_and_a_second_want_of_memory_are_raised(
    recipe: Recipe, runtime: Runtime
) -> None:
    with pytest.raises(RuntimeError, match="of ours"):
        name_in_patches(SCAN, refuses(RuntimeError("of ours"), above=1), recipe, runtime)
    with pytest.warns(DataWarning), pytest.raises(MemoryError):
        name_in_patches(SCAN, refuses(MemoryError(), above=2), recipe, runtime)
    inference = recipe.inference.model_copy(update={"coarse_spacing_mm": 2.0})
    no_coarser = recipe.model_copy(update={"inference": inference})
    with pytest.raises(MemoryError):
        name_in_patches(SCAN, refuses(MemoryError(), above=1), no_coarser, runtime)


@pytest.mark.parametrize("spacing_mm", [(2.5, 0.7, 0.9), (11.0, 5.0, 7.0)])
def test_an_untrained_network_gives_labels_on_the_scans_grid(
    model: Model, spacing_mm: tuple[float, float, float]
) -> None:
    scan = replace(boxes(spacing_mm, (13, 47, 38)), source="kept")
    told: list[tuple[str, int, int]] = []
    done = segment_volume(scan, model, progress=lambda *step: told.append(step))
    assert done.labels.shape == scan.shape
    assert done.labels.array.dtype == np.uint8
    assert done.labels.affine.tobytes() == scan.affine.tobytes()
    assert done.labels.source == "kept"
    assert set(np.unique(done.labels.array)) <= {0, 1, 2, 3}
    assert len(np.unique(done.labels.array)) > 1
    assert done.guides == ()
    assert done.seconds.keys() == {"prepare", "reference"}
    assert told[-1][0] == "reference"
    assert told[-1][1] == told[-1][2]
    np.testing.assert_array_equal(segment(scan, model).array, done.labels.array)


def test_organs_may_be_chosen_and_a_selector_changes_nothing(model: Model) -> None:
    scan = boxes((6, 6, 6), (12, 32, 32))
    full = segment(scan, model).array
    kept = segment_volume(scan, model, organs=["spleen"], selector="uniform")
    np.testing.assert_array_equal(kept.labels.array, np.where(full == SPLEEN, SPLEEN, 0))
    assert dict(kept.names.ids) == {"spleen": SPLEEN}
    with pytest.raises(SlicekitError, match="unknown selector 'unifrm'"):
        segment(scan, model, selector="unifrm")


def test_bfloat16_gives_nearly_the_same_labels(model: Model) -> None:
    scan = boxes((6, 6, 6), (12, 32, 32))
    rough = replace(model, runtime=replace(model.runtime, bf16=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = segment(scan, rough).array
    assert (found == segment(scan, model).array).mean() > 0.9
