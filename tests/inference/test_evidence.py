import numpy as np
import pytest

from slicekit.errors import ShapeError
from slicekit.inference.evidence import Sample, summarise
from slicekit.labels import LabelSet

LABELS = LabelSet({"liver": 1, "spleen": 4})
SPACING = (5.0, 2.0, 3.0)


def sample(z, *, liver, size=(10, 20), p=0.8, liver_b=None):
    """A slice whose rows [a, b) are liver with probability p; the spleen is nowhere."""
    probabilities = np.zeros((3, *size), dtype=np.float32)
    probabilities[0] = 1
    probabilities[:, liver[0] : liver[1]] = np.array([1 - p, p, 0])[:, None, None]
    chosen = probabilities.argmax(axis=0)
    other = chosen.copy()
    if liver_b is not None:
        other[:] = 0
        other[liver_b[0] : liver_b[1]] = 1
    return Sample(z, probabilities, np.stack([chosen, other]))


def test_area_confidence_agreement_and_share_are_what_was_drawn():
    evidence = summarise(
        [sample(3, liver=(0, 4)), sample(8, liver=(2, 6), p=0.9, liver_b=(4, 8))],
        labels=LABELS,
        spacing_mm=SPACING,
    )
    assert evidence.zs.tolist() == [3, 8]
    assert evidence.z_mm.tolist() == [15.0, 40.0]
    assert evidence.ids == (1, 4)
    assert evidence.area_px.tolist() == [[80, 0], [80, 0]]
    assert evidence.area_mm2[0].tolist() == [480.0, 0.0]
    np.testing.assert_allclose(evidence.confidence, [[0.8, 0], [0.9, 0]], atol=1e-6)
    np.testing.assert_allclose(evidence.agreement, [[1, 1], [0.5, 1]])
    np.testing.assert_allclose(evidence.largest_share, [[1, 0], [1, 0]])
    assert evidence.possible_px.tolist() == [[80, 0], [120, 0]]
    np.testing.assert_allclose(evidence.score[:, 0], [480 * 0.8, 480 * 0.9 * 0.5], rtol=1e-5)


def test_the_largest_component_counts():
    scattered = sample(0, liver=(0, 3))
    scattered.probabilities[:, 6] = np.array([0.2, 0.8, 0])[:, None]
    evidence = summarise([scattered], labels=LABELS, spacing_mm=SPACING)
    assert evidence.largest_share[0, 0] == pytest.approx(0.75)


def test_a_slice_is_surely_empty_when_neither_network_sees_the_organ_nor_deems_it_possible():
    samples = [
        sample(0, liver=(0, 10)),
        sample(1, liver=(0, 0)),
        sample(2, liver=(0, 0), liver_b=(3, 5)),
        sample(3, liver=(0, 3), p=0.3),
    ]
    evidence = summarise(samples, labels=LABELS, spacing_mm=SPACING)
    assert evidence.surely_empty[:, 0].tolist() == [False, True, False, False]
    assert evidence.surely_empty[:, 1].all()


def test_three_networks_agree_as_much_as_every_two_of_them_do_on_average():
    made = sample(0, liver=(0, 4), liver_b=(2, 6))
    first, second = made.choices
    third = np.zeros_like(first)
    third[3:4] = 1
    # Dice of rows 0-3 and 2-5, of rows 0-3 and 3, of rows 2-5 and 3
    wanted = (0.5 + 0.4 + 0.4) / 3
    made = made._replace(choices=np.stack([first, second, third]))
    evidence = summarise([made], labels=LABELS, spacing_mm=SPACING)
    np.testing.assert_allclose(evidence.agreement, [[wanted, 1]])
    assert evidence.possible_px.tolist() == [[120, 0]]


def test_a_network_agrees_with_itself():
    made = sample(0, liver=(0, 4))
    evidence = summarise(
        [made._replace(choices=made.choices[:1])], labels=LABELS, spacing_mm=SPACING
    )
    assert evidence.agreement.tolist() == [[1, 1]]
    assert evidence.possible_px.tolist() == [[80, 0]]
    with pytest.raises(ShapeError, match=r"one network or more, got \(0, 10, 20\)"):
        summarise([made._replace(choices=made.choices[:0])], labels=LABELS, spacing_mm=SPACING)


def test_only_one_slice_lies_in_memory():
    import weakref

    alive = []

    def stream():
        for z in range(6):
            taken = sample(z, liver=(0, 4))
            alive.append(weakref.ref(taken.probabilities))
            assert sum(ref() is not None for ref in alive) <= 2
            yield taken
            del taken

    assert len(summarise(stream(), labels=LABELS, spacing_mm=SPACING).zs) == 6


def test_no_slice_at_all_gives_empty_tables():
    evidence = summarise([], labels=LABELS, spacing_mm=SPACING)
    assert evidence.area_px.shape == (0, 2)
    assert evidence.surely_empty.shape == (0, 2)


def test_wrong_classes_and_order_are_named():
    with pytest.raises(ShapeError, match="probabilities must be"):
        summarise([sample(0, liver=(0, 1))], labels=LabelSet({"a": 1}), spacing_mm=SPACING)
    with pytest.raises(ShapeError, match="must rise"):
        summarise(
            [sample(2, liver=(0, 1)), sample(1, liver=(0, 1))], labels=LABELS, spacing_mm=SPACING
        )
