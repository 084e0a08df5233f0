import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicekit.data.grid import InPlane
from slicekit.errors import BudgetError, LabelError, ShapeError
from slicekit.inference.fusion import Seen
from slicekit.inference.guides import Guide
from slicekit.inference.opinion import Opinion, weigh
from slicekit.inference.propagate import PropagateSettings, propagate
from slicekit.inference.resample import decide_on
from slicekit.networks import build
from slicekit.runtime import Runtime

SIZE = (40, 56)  # no multiples of 16


def bright(z):
    return torch.ones(3, *SIZE)


def drawing(*objects):
    """Labels with a rectangle an object: 1 left above, 2 right below."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    if 1 in objects:
        labels[5:20, 6:25] = 1
    if 2 in objects:
        labels[22:37, 30:50] = 2
    return labels


def guide(z, *objects, known=(1, 2)):
    return Guide(z, drawing(*objects), frozenset(known))


def answers(guides, network, runtime, *, frame=bright, length=10, slice_mm=5.0, **options):
    found = {}
    for answer in propagate(
        frame, guides, network, length=length, slice_mm=slice_mm, runtime=runtime, **options
    ):
        assert answer.z not in found
        found[answer.z] = answer
    assert sorted(found) == list(range(length))
    return [found[z] for z in range(length)]


def random_frames(length, *, seed=0):
    frames = torch.rand(length, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(frames, 5, stride=1, padding=2)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    network = build("stcn", "tiny", classes=1).eval()
    torch.nn.init.constant_(network.decoder.pred.bias, 0.1)  # random weights, yet it draws
    for parameter in network.decoder.parameters():
        parameter.data *= 1.5
    return network


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    case=st.integers(1, 25).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.dictionaries(
                st.integers(0, n - 1),
                st.tuples(st.sets(st.sampled_from([1, 2])), st.sets(st.sampled_from([1, 2]))),
                min_size=1,
                max_size=5,
            ),
        )
    )
)
def test_every_slice_is_answered_once_and_guides_are_kept(case, paper, runtime):
    length, drawn = case
    guides = [guide(z, *shown, known=shown | known) for z, (shown, known) in drawn.items()]
    found = answers(guides, paper, runtime, length=length)
    for one in guides:
        said = one.labels > 0
        assert np.array_equal(found[one.z].labels[said], one.labels[said])
        unknown = {1, 2} - one.known
        assert set(np.unique(found[one.z].labels)) <= {0} | one.shown | unknown


def test_a_frozen_phantom_keeps_its_mask(paper, runtime):
    for answer in answers([guide(3, 1, 2), guide(7, 1, 2)], paper, runtime):
        assert np.array_equal(answer.labels, drawing(1, 2))
        assert answer.labels.dtype == np.uint8
        assert answer.confidence.dtype == np.float16
        assert answer.confidence.min() > 0.99


def test_a_mirrored_volume_gives_mirrored_masks(tiny, runtime):
    frames = random_frames(11)
    guides = [guide(2, 1, 2), guide(6, 1, known=(1,)), guide(9, 2)]
    mirrored = [Guide(10 - one.z, one.labels, one.known) for one in guides]
    options = {"length": 11, "slice_mm": 6.0}
    there = answers(guides, tiny, runtime, frame=lambda z: frames[z], **options)
    back = answers(mirrored, tiny, runtime, frame=lambda z: frames[10 - z], **options)
    drawn = 0
    for one, other in zip(there, back[::-1], strict=True):
        assert (one.labels != other.labels).mean() < 1e-3  # ties of rounding, no more
        drawn += len(np.unique(one.labels)) > 1
    assert drawn >= 9


def test_unknown_is_not_absent(paper, runtime):
    spoken = answers([guide(2, 1, 2), guide(5, 1), guide(8, 1, 2)], paper, runtime)
    silent = answers([guide(2, 1, 2), guide(5, 1, known=[1]), guide(8, 1, 2)], paper, runtime)
    assert np.array_equal(spoken[5].labels, drawing(1))
    assert np.array_equal(silent[5].labels, drawing(1, 2))
    for answer in silent:
        assert np.array_equal(answer.labels, drawing(1, 2))


def test_absent_on_both_sides_is_absent_between(paper, runtime):
    guides = [guide(1), guide(5, 1, known=[1]), guide(8, 1)]
    for answer in answers(guides, paper, runtime):
        assert 2 not in answer.labels


def test_what_no_end_shows_costs_nothing(paper, runtime):
    asked = []

    def frame(z):
        asked.append(z)
        return bright(z)

    found = answers([guide(4), guide(12), guide(14, 1)], paper, runtime, frame=frame, length=20)
    assert min(asked) >= 12
    assert not any(answer.labels.any() for answer in found[:13])
    assert found[0].confidence.min() == 1


def test_an_organ_that_vanished_is_followed_no_further(paper, runtime):
    asked = []

    def frame(z):  # the organ fades at slice 5; it would be bright again from slice 15
        asked.append(z)
        return bright(z) * (z < 5 or z >= 15)

    limits = PropagateSettings(vanish_mm=15.0)
    found = answers([guide(0, 1, 2)], paper, runtime, frame=frame, length=20, settings=limits)
    assert sorted(set(asked)) == list(range(8))  # 5, 6, 7 are 15 mm without it
    assert all(answer.labels.any() == (answer.z < 5) for answer in found)


def test_an_organ_that_the_far_guide_shows_is_followed_through_darkness(paper, runtime):
    found = answers(
        [guide(0, 1), guide(19, 1)], paper, runtime, length=20,
        frame=lambda z: bright(z) * (z < 4 or z > 15),
    )  # fmt: skip
    assert [z for z, answer in enumerate(found) if answer.labels.any()] == [
        0,
        1,
        2,
        3,
        *range(16, 20),
    ]


def test_the_guide_without_the_organ_teaches_where_it_stops(paper, runtime):
    def frame(z):  # slices from 6 on look like the guide that lacks organ 2
        return torch.stack([torch.ones(SIZE), torch.full(SIZE, float(z >= 6)), torch.ones(SIZE)])

    found = answers([guide(1, 1, 2), guide(9, 1)], paper, runtime, frame=frame)
    for answer in found:
        assert np.array_equal(answer.labels, drawing(1, 2) if answer.z < 6 else drawing(1))


def test_slices_are_looked_at_once_where_the_budget_allows(paper, runtime):
    answers([guide(0, 1), guide(9, 1)], paper, runtime)
    assert paper.looks == 10
    paper.looks = 0
    narrow = PropagateSettings(budget_bytes=700_000)
    answers([guide(0, 1), guide(9, 1)], paper, runtime, settings=narrow)
    assert 10 < paper.looks <= 18


def test_a_long_gap_is_held_coarser_and_answers_nearly_the_same(paper, runtime, caplog):
    caplog.set_level("DEBUG")
    narrow = PropagateSettings(budget_bytes=500_000, memory_every_mm=1000)
    found = answers(
        [guide(0, 1, 2), guide(59, 1, 2)], paper, runtime, length=60, slice_mm=1.0, settings=narrow
    )
    assert "shrink=4" in caplog.text
    for answer in found:
        assert (answer.labels != drawing(1, 2)).mean() < 0.06


def test_a_budget_too_small_for_the_guides_is_refused_with_what_it_takes(paper, runtime):
    with pytest.raises(BudgetError, match="MiB at least for this scan"):
        answers(
            [guide(0, 1), guide(9, 1)], paper, runtime, settings=PropagateSettings(budget_bytes=999)
        )


def test_objects_drawn_in_parts_equal_objects_drawn_at_once(tiny, runtime):
    frames = random_frames(6)
    labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 400 % 6
    known = frozenset(range(1, 6))
    one, many = (
        answers(
            [Guide(0, labels, known), Guide(5, labels, known)], tiny, runtime, length=6,
            frame=lambda z: frames[z], settings=PropagateSettings(objects_at_once=n),
        )
        for n in (2, 99)
    )  # fmt: skip
    for a, b in zip(one, many, strict=True):
        assert (a.labels != b.labels).mean() < 1e-3
        np.testing.assert_allclose(a.confidence, b.confidence, atol=2e-3)


def test_bf16_answers_nearly_as_float32(tiny, runtime):
    frames = random_frames(6)
    half = Runtime(torch.device("cpu"), bf16=True, threads=1)
    exact, coarse = (
        answers([guide(0, 1, 2), guide(5, 1)], tiny, rt, length=6, frame=lambda z: frames[z])
        for rt in (runtime, half)
    )
    off = np.mean([(a.labels != b.labels).mean() for a, b in zip(exact, coarse, strict=True)])
    assert off < 0.05


def test_answers_come_on_the_scans_own_pixels(paper, runtime):
    grid = InPlane((100, 130), (10, 90, 9, 121), SIZE)
    full = np.zeros((100, 130), dtype=np.uint8)
    full[22:51, 21:60] = 1
    own = Guide(4, drawing(1), frozenset({1}), output_labels=full)
    found = answers([own], paper, runtime, decide=decide_on(grid))
    assert np.array_equal(found[4].labels, full)
    assert found[4].labels.shape == found[4].confidence.shape == (100, 130)
    for answer in found[:4] + found[5:]:
        assert answer.labels[20:50, 21:59].all()
        assert answer.labels.sum() == 30 * 38


def test_large_ids_need_sixteen_bits(paper, runtime):
    own = Guide(0, drawing(1).astype(np.int64) * 300, frozenset({300}))
    for answer in answers([own], paper, runtime, length=3):
        assert answer.labels.dtype == np.uint16
        assert np.array_equal(answer.labels, own.labels)


def test_the_callers_mode_is_left_alone(paper, runtime):
    walk = propagate(bright, [guide(0, 1)], paper, length=4, slice_mm=5, runtime=runtime)
    next(walk)
    assert not torch.is_inference_mode_enabled()
    walk.close()


def test_what_cannot_be_meant_is_refused_at_once(paper, runtime):
    options = {"length": 10, "slice_mm": 5.0, "runtime": runtime}
    with pytest.raises(LabelError, match="needs a guide"):
        propagate(bright, [], paper, **options)
    with pytest.raises(ShapeError, match="different slices"):
        propagate(bright, [guide(3, 1), guide(3, 2)], paper, **options)
    with pytest.raises(ShapeError, match="agree in size"):
        other = Guide(5, np.zeros((3, 3), np.uint8), frozenset())
        propagate(bright, [guide(3, 1), other], paper, **options)
    with pytest.raises(ValueError, match="slice_mm"):
        propagate(bright, [guide(3, 1)], paper, length=10, slice_mm=0.0, runtime=runtime)
    with pytest.raises(ShapeError, match="slice 3 must be"):
        list(propagate(lambda z: torch.ones(3, 8, 8), [guide(3, 1)], paper, **options))
    with pytest.raises(ValueError, match="objects_at_once"):
        PropagateSettings(objects_at_once=0)


def test_second_opinion_is_averaged_for_followed_objects_only(paper, runtime):
    asked = []

    def opinion(z):
        asked.append(z)
        said = torch.zeros(3, *SIZE)
        said[2] = 1.0  # sure of an object that nobody follows, and that the followed one is gone
        return said

    guides = [guide(0, 1), guide(4, 1)]
    found = {
        share: answers(
            guides, paper, runtime, length=5,
            opinion=Opinion(opinion, share=share),
        )
        for share in (0.0, 0.2, 0.9)
    }  # fmt: skip
    assert sorted(asked) == [1, 1, 2, 2, 3, 3]
    for z in (1, 2, 3):
        assert (found[0.0][z].labels == drawing(1)).all()
        assert (found[0.2][z].labels == drawing(1)).all()
        assert not found[0.9][z].labels.any()
    assert (found[0.9][0].labels == drawing(1)).all()


def test_an_object_that_nothing_is_carried_of_is_left_to_the_second_opinion(paper, runtime):
    def ask(z):
        said = torch.zeros(3, *SIZE)
        said[2, :2] = 0.9
        return said

    lone = Opinion(ask, share=0.0, alone=frozenset({2}))
    found = answers([guide(3, 1)], paper, runtime, length=8, opinion=lone)
    for z in range(8):
        assert (found[z].labels[:2] > 0).all()
        assert not (found[z].labels[2:] == 2).any()
    assert (found[3].labels[drawing(1) == 1] == 1).all(), "a guide's own mask was changed"
    assert (found[3].labels[:2] == 2).any(), "nor does the guide hide what it does not speak of"


def test_opinions_weigh_object_by_object():
    planes = torch.tensor([0.8, 0.8])[:, None, None].expand(2, 1, 1)
    opinion = Opinion(lambda z: torch.zeros(4, 1, 1), share=0.5, shares={1: 0.25})
    joined = weigh(Seen(0, (1, 3), planes), opinion)
    assert joined.planes.flatten().tolist() == pytest.approx([0.6, 0.4])
    assert joined.objects == (1, 3)
