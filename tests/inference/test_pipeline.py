"""From a scan to labels: on scans whose answer can be said beforehand, and with random networks."""

from __future__ import annotations

import tracemalloc
import warnings
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slicekit.data.phantom import PHANTOM_LABELS, make_phantom
from slicekit.errors import DataWarning, LabelError, ReadError, RecipeError
from slicekit.inference.model import Model, build_network, load_model
from slicekit.inference.pipeline import segment, segment_volume
from slicekit.inference.view import sample_slices
from slicekit.io import write_volume
from slicekit.metrics import dice
from slicekit.runtime import Runtime
from slicekit.volume import Volume

LIVER, SPLEEN = 1, 2
AFFINE = np.array([[0, 0, -6.0, 50], [0, -6.0, 0, 60], [5.0, 0, 0, -70], [0, 0, 0, 1]])
"""5 mm between slices, 6 mm pixels: the pixels of the trial recipe."""


class BrightOrgans:
    """A reference whose answer can be said beforehand: by the HU of a pixel."""

    count = 2

    def __call__(self, slices, position):
        hu = slices[:, 0] * 400 - 125
        assert position.shape == (len(slices),)
        nothing = torch.zeros_like(hu)
        liver = torch.where(hu > 200, 9.0, -9.0)
        spleen = torch.where((hu > 120) & (hu <= 200), 9.0, -9.0)
        logits = torch.stack([nothing, liver, spleen, nothing - 9], dim=1)
        return (logits,) * self.count


class NeverRun:
    def __call__(self, *_):
        pytest.fail("a network was run")


@pytest.fixture(scope="module")
def model(trial_models: Path, runtime: Runtime) -> Model:
    """Random networks."""
    return load_model(trial_models / "trial_reference.toml", runtime)


@pytest.fixture
def clear(model: Model, paper) -> Model:
    """Networks whose answer can be said beforehand; what they carry is drawn where it is bright."""
    inference = model.recipe.inference.model_copy(update={"selector": "agreement"})
    recipe = model.recipe.model_copy(update={"inference": inference})
    return replace(model, recipe=recipe, reference=BrightOrgans(), propagator=paper)


@pytest.fixture(scope="module")
def scan() -> Volume:
    """A phantom of 16 slices, 64 x 64 pixels."""
    rng = np.random.default_rng(3)
    return make_phantom(rng, shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0)).image


def boxes() -> Volume:
    """A body of 40 HU with a liver of 260 and a spleen of 160 HU, each in some of 24 slices."""
    array = np.full((24, 64, 64), -1000, dtype=np.int16)
    array[:, 4:60, 4:60] = 40
    array[3:15, 16:32, 16:48] = 260
    array[9:22, 40:56, 32:48] = 160
    return Volume(array, AFFINE)


def truth(scan: Volume) -> np.ndarray:
    ids = np.where(scan.array > 200, LIVER, 0)
    return np.where((scan.array > 120) & (scan.array <= 200), SPLEEN, ids)


def test_reference_alone_names_every_slice(clear: Model) -> None:
    scan = boxes()
    done = segment_volume(scan, replace(clear, propagator=None))
    np.testing.assert_array_equal(done.labels.array, truth(scan))
    assert done.guides == ()
    assert done.seconds.keys() == {"prepare", "reference"}


def test_guides_are_carried_to_every_slice(clear: Model, paper) -> None:
    scan = boxes()
    done = segment_volume(scan, clear)
    np.testing.assert_array_equal(done.labels.array, truth(scan))
    assert len(done.guides) >= 4
    assert {number for guide in done.guides for number in guide.organs} == {LIVER, SPLEEN}
    assert all("sure of" in guide.reason or "beyond" in guide.reason for guide in done.guides)
    assert paper.looks > 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_reference_may_be_of_one_or_three_networks(clear: Model, count: int) -> None:
    clear.reference.count = count
    np.testing.assert_array_equal(segment(boxes(), clear).array, truth(boxes()))


def test_result_lies_on_the_scans_grid(clear: Model) -> None:
    scan = replace(boxes(), source="kept")
    before = scan.array.copy()
    done = segment_volume(scan, clear)
    assert done.labels.array.dtype == np.uint8
    assert done.labels.affine.tobytes() == scan.affine.tobytes()
    assert (done.labels.shape, done.labels.source) == (scan.shape, "kept")
    assert done.image is scan
    np.testing.assert_array_equal(scan.array, before)


def test_finer_pixels_get_labels_of_their_own(clear: Model) -> None:
    """Boxes of twice the pixels; edges that are blurred on the way there come back in place."""
    coarse = boxes()
    affine = AFFINE.copy()
    affine[:3, 1:3] /= 2
    fine = Volume(coarse.array.repeat(2, axis=1).repeat(2, axis=2), affine)
    found = segment(fine, replace(clear, propagator=None)).array
    assert found.shape == fine.shape
    assert dice(truth(fine) > 0, found > 0) > 0.9
    assert dice(truth(fine) == LIVER, found == LIVER) > 0.95


def test_a_path_and_a_volume_give_the_same(model: Model, scan: Volume, tmp_path: Path) -> None:
    path = write_volume(tmp_path / "scan.nii.gz", scan)
    from_file, from_memory = segment(path, model), segment(scan, model)
    np.testing.assert_array_equal(from_file.array, from_memory.array)
    assert segment(str(path), model).array.any()
    with pytest.raises(ReadError, match="does not exist"):
        segment(tmp_path / "other.nii.gz", model)


def test_same_scan_gives_same_labels(model: Model, scan: Volume) -> None:
    for selector in ("agreement", "largest-area", "random", "uniform"):
        first, again = (segment(scan, model, selector=selector).array for _ in range(2))
        np.testing.assert_array_equal(first, again)


def test_only_the_organs_asked_for_remain(clear: Model) -> None:
    scan = boxes()
    done = segment_volume(scan, clear, organs=["spleen"])
    np.testing.assert_array_equal(done.labels.array, np.where(truth(scan) == SPLEEN, SPLEEN, 0))
    assert dict(done.names.ids) == {"spleen": SPLEEN}
    np.testing.assert_array_equal(segment(scan, clear, organs="spleen").array, done.labels.array)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"organs": ["lver"]}, LabelError, r"unknown organ 'lver'; did you mean 'liver'\?"),
        ({"selector": "unifrm"}, RecipeError, r"unknown selector 'unifrm'; did you mean 'uniform'"),
    ],
)
def test_unknown_words_are_refused_before_any_work(
    words: dict, error: type, message: str, model: Model, scan: Volume, tmp_path: Path
) -> None:
    idle = replace(model, reference=NeverRun(), propagator=NeverRun())
    for given_scan in (scan, tmp_path / "never read.nii"):
        with pytest.raises(error, match=message):
            segment(given_scan, idle, **words)


def test_selector_of_the_recipe_is_checked_early_too(model: Model, scan: Volume) -> None:
    inference = model.recipe.inference.model_copy(update={"selector": "agreemnt"})
    recipe = model.recipe.model_copy(update={"inference": inference})
    with pytest.raises(RecipeError, match="did you mean 'agreement'"):
        segment(scan, replace(model, recipe=recipe, reference=NeverRun()))


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 64, 64), (3, 1, 1), (1, 1, 1), (5, 3, 40)])
def test_tiny_scans_work(shape: tuple[int, int, int], model: Model) -> None:
    array = np.random.default_rng(0).integers(-200, 300, shape).astype(np.int16)
    array.flat[0], array.flat[-1] = 260, -200
    for kept in (model, replace(model, propagator=None)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # one voxel cannot be a body
            assert segment(Volume(array, AFFINE), kept).array.shape == shape


def test_one_slice_is_its_own_guide(clear: Model) -> None:
    scan = Volume(boxes().array[10:11], AFFINE)
    done = segment_volume(scan, clear)
    np.testing.assert_array_equal(done.labels.array, truth(scan))
    assert [guide.z for guide in done.guides] == [0]


def test_air_holds_no_organ(clear: Model) -> None:
    air = Volume(np.full((12, 40, 40), -1024, dtype=np.int16), AFFINE)
    for kept in (clear, replace(clear, propagator=None)):
        with pytest.warns(DataWarning, match="cannot be HU"):
            done = segment_volume(air, kept)
        assert not done.labels.array.any()
        assert done.guides == ()


def test_hu_outside_of_the_windows_change_nothing(model: Model, scan: Volume) -> None:
    """Windows act before resampling, so air and bone cannot bleed into their neighbours."""
    assert scan.array.min() < -125 < 275 < scan.array.max()
    clipped = scan.with_array(np.clip(scan.array, -125, 275))
    affine = scan.affine.copy()
    affine[:3, 1:3] *= 0.7  # so that slices are resampled
    full, cut = (segment(Volume(v.array, affine), model).array for v in (scan, clipped))
    assert len(np.unique(full)) > 1
    np.testing.assert_array_equal(full, cut)


def test_number_type_and_memory_order_change_nothing(model: Model, scan: Volume) -> None:
    plain = segment(scan, model).array
    for array in (scan.array.astype(np.float32), np.asfortranarray(scan.array)):
        np.testing.assert_array_equal(segment(scan.with_array(array), model).array, plain)


def test_progress_is_told_for_every_slice(model: Model, scan: Volume) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    done = segment_volume(
        scan, model, progress=lambda s, n, of: told.setdefault(s, []).append((n, of))
    )
    assert list(told) == ["reference", "propagate"]
    assert told["propagate"] == [(n, 16) for n in range(1, 17)]
    samples = len(sample_slices(scan, every_mm=10.0))
    assert told["reference"] == [(min(n, samples), samples) for n in range(4, samples + 4, 4)]
    assert list(done.seconds) == ["prepare", "reference", "select", "propagate"]
    assert all(value >= 0 for value in done.seconds.values())


class TensorBytes(TorchDispatchMode):
    """Count the bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.most, self.seen = 0, 0, weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if (
                isinstance(leaf, torch.Tensor)
                and (store := leaf.untyped_storage()) not in self.seen
            ):
                self.seen.add(store)
                self.alive += store.nbytes()
                self.most = max(self.most, self.alive)
                weakref.finalize(store, self.forget, store.nbytes())
        return result

    def forget(self, size: int) -> None:
        self.alive -= size


@pytest.mark.parametrize("propagation", [True, False])
def test_probabilities_of_all_organs_are_never_held_for_all_slices(
    propagation: bool, make_recipe, runtime: Runtime
) -> None:
    """Of 13 organs x 80 slices x 48 x 48 pixels floats would take 9.6 MB."""
    shape = (80, 48, 48)
    scan = make_phantom(np.random.default_rng(5), shape=shape, spacing_mm=(3.0, 6.0, 6.0)).image
    recipe, carrier = make_recipe("reference"), make_recipe("propagator")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        committee, stcn = (build_network(one).eval() for one in (recipe, carrier))
    kept = (stcn, carrier) if propagation else (None, None)
    model = Model(recipe, committee, *kept, {}, runtime)
    count = TensorBytes()
    tracemalloc.start()
    try:
        with count:
            labels = segment(scan, model, selector="uniform")
        arrays = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert labels.array.any()
    assert count.most > 100_000
    assert arrays + count.most < 0.8 * len(PHANTOM_LABELS) * labels.array.size * 4


@given(
    st.integers(1, 2000),
    st.floats(0.1, 20).map(lambda step: round(step, 2)),
    st.floats(0.5, 50).map(lambda step: round(step, 2)),
)
def test_samples_are_even_and_hold_both_ends(count: int, slice_mm: float, every_mm: float) -> None:
    affine = np.diag([slice_mm, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    zs = sample_slices(Volume(np.zeros((count, 1, 1), np.uint8), affine), every_mm=every_mm)
    assert (zs[0], zs[-1]) == (0, count - 1)
    assert len(zs) <= 257
    steps = np.diff(zs)
    assert (steps[:-1] == steps[0]).all() if len(steps) > 1 else True
    if len(steps) > 1 and count < 256:
        assert abs(steps[0] * slice_mm - every_mm) <= max(slice_mm / 2 + 1e-6, slice_mm - every_mm)
