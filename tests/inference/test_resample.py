import numpy as np
import pytest
import torch

from slicekit.data.grid import InPlane
from slicekit.errors import ShapeError
from slicekit.inference.resample import decide_on, most_likely, on_source

GRIDS = [
    InPlane((160, 200), (0, 160, 0, 200), (round(160 * r), round(200 * r)))
    for r in (0.5, 0.71, 1.0, 1.5, 2.0)
] + [InPlane((200, 240), (17, 183, 23, 231), (113, 141))]


def disc(size, *, centre, radius):
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_disc_there_and_back_keeps_place_and_shape(grid):
    centre = (grid.source_size[0] / 2 - 7.3, grid.source_size[1] / 2 + 11.8)
    drawn = disc(grid.source_size, centre=centre, radius=40)
    there = torch.from_numpy(grid.to_model(drawn))
    back = decide_on(grid)(torch.stack([1 - there, there])).chosen == 1
    assert back.shape == grid.source_size
    assert dice(back, drawn) > 0.98
    shift = np.argwhere(back).mean(axis=0) - np.argwhere(drawn).mean(axis=0)
    assert np.abs(shift).max() < 0.1


def test_the_same_grid_changes_nothing():
    grid = InPlane((9, 7), (0, 9, 0, 7), (9, 7))
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 5, size=(9, 7)))
    certain = torch.nn.functional.one_hot(labels, 5).permute(2, 0, 1).float()
    assert np.array_equal(decide_on(grid)(certain).chosen, labels.numpy())


def test_one_class_at_a_time_equals_argmax_of_all():
    generator = torch.Generator().manual_seed(0)
    p = torch.softmax(3 * torch.randn(14, 30, 41, generator=generator), dim=0)
    p[7:] *= 0.01  # classes that cannot win are not resampled at all
    p /= p.sum(dim=0)
    grid = InPlane((64, 80), (0, 64, 0, 80), (30, 41))
    wide = torch.nn.functional.interpolate(p[None], (64, 80), mode="bilinear")[0]
    decision = decide_on(grid)(p)
    assert np.array_equal(decision.chosen, wide.argmax(dim=0).numpy())
    np.testing.assert_allclose(decision.confidence, wide.amax(dim=0).numpy(), atol=1e-3)
    assert np.array_equal(most_likely(p).chosen, p.argmax(dim=0).numpy())


def test_outside_of_the_box_is_background_for_certain():
    grid = InPlane((20, 20), (5, 15, 5, 15), (10, 10))
    decision = decide_on(grid)(torch.stack([torch.zeros(10, 10), torch.ones(10, 10)]))
    assert decision.chosen[5:15, 5:15].all()
    assert decision.chosen.sum() == 100
    assert (decision.confidence == 1).all()


def test_wrong_sizes_are_named():
    grid = InPlane((20, 20), (0, 20, 0, 20), (10, 10))
    with pytest.raises(ShapeError, match="probabilities must be"):
        decide_on(grid)(torch.zeros(2, 10, 11))
    with pytest.raises(ShapeError, match="plane must be"):
        on_source(torch.zeros(11, 10), grid)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_one_plane_comes_back_to_its_place_with_nothing_outside(grid):
    rows, columns = np.mgrid[: grid.source_size[0], : grid.source_size[1]]
    smooth = ((rows + 2 * columns) / 700).astype(np.float32)
    back = on_source(torch.from_numpy(grid.to_model(smooth)), grid)
    y0, y1, x0, x1 = grid.box
    inside = (slice(y0 + 3, y1 - 3), slice(x0 + 3, x1 - 3))  # edges have fewer neighbours
    np.testing.assert_allclose(back[inside], smooth[inside], atol=0.002)
    back[y0:y1, x0:x1] = 0
    assert not back.any()
