import numpy as np
import pytest
import torch

from slicekit.errors import LabelError, ShapeError
from slicekit.inference.guides import Guide, carried, complete
from slicekit.inference.sight import Eyes

SIZE = (32, 32)


def guide(z, *shown, known=()):
    """Object n is a band of eight rows."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    for number in shown:
        labels[8 * number - 8 : 8 * number] = number
    return Guide(z, labels, frozenset({*shown, *known}))


def present(guides, paper, runtime):
    eyes = Eyes(
        lambda z: torch.tensor([1.0, z / 20, 0])[:, None, None].expand(3, *SIZE),
        paper,
        runtime,
        size=SIZE,
        objects_at_once=8,
    )
    with torch.inference_mode():
        full = complete(guides, eyes, top_k=20, least_px=5)
    return [set(one.present) for one in full]


def test_what_every_guide_speaks_of_costs_nothing(paper, runtime):
    assert present([guide(0, 1), guide(5, known=[1])], paper, runtime) == [{1}, set()]
    assert paper.looks == 0


def test_between_two_that_show_it_an_object_is_predicted(paper, runtime):
    assert present([guide(0, 1), guide(5, 2), guide(9, 1, 2)], paper, runtime)[1] == {1, 2}


def test_between_two_that_lack_it_an_object_is_absent(paper, runtime):
    guides = [guide(0, known=[1]), guide(5, 2), guide(9, 2, known=[1]), guide(12, 1, 2)]
    assert present(guides, paper, runtime)[1] == {2}


def test_beyond_a_guide_that_lacks_it_an_object_is_absent(paper, runtime):
    guides = [guide(0, 2), guide(3, 2), guide(5, 2, known=[1]), guide(9, 1, 2), guide(11, 2)]
    assert present(guides, paper, runtime) == [{2}, {2}, {2}, {1, 2}, {1, 2}]


def test_outwards_an_object_goes_on_until_it_is_missing(paper, runtime):
    guides = [guide(0, 2), guide(3, 2), guide(5, 1, 2)]
    assert present(guides, paper, runtime) == [{1, 2}, {1, 2}, {1, 2}]
    blocked = guide(3, 2)
    blocked.labels[:8] = 2  # where object 1 would be, this guide shows another
    assert present([guide(0, 2), blocked, guide(5, 1, 2)], paper, runtime)[:2] == [{2}, {2}]


def test_a_guide_names_what_it_shows():
    with pytest.raises(LabelError, match="speaks of"):
        Guide(0, np.full(SIZE, 3), frozenset({1}))
    with pytest.raises(LabelError, match="speaks of"):
        Guide(0, np.full(SIZE, 0.5), frozenset({1}))
    with pytest.raises(LabelError, match="output_labels"):
        Guide(0, np.zeros(SIZE), frozenset({1}), output_labels=np.full((4, 4), 2))
    with pytest.raises(ShapeError, match="labels of the guide 7 must be"):
        Guide(7, np.zeros((1, 2, 3)), frozenset())


def test_a_guide_carries_its_organs_without_specks():
    labels = guide(0, 1, 2, 3).labels
    labels[30, 30] = 1  # a speck
    labels[28:32, :10] = 2  # a real second piece
    kept = carried(labels, frozenset({1, 2}))
    assert kept.dtype == labels.dtype
    assert np.array_equal(kept == 1, guide(0, 1).labels == 1)
    assert np.array_equal(kept == 2, labels == 2)
    assert not (kept == 3).any()
    assert not carried(labels, frozenset({9})).any()
