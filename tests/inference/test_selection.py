import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.errors import RecipeError
from slicekit.inference.evidence import SliceEvidence
from slicekit.inference.selection import SELECTORS, SelectionSettings, select
from slicekit.labels import LabelSet

STEP_MM = 10.0


def evidence_of(areas, *, certainty=0.9, possible=None):
    """Tables of organs 1, 2, ... from (n, k) areas; slices lie 5 apart, that is 10 mm."""
    areas = np.asarray(areas, dtype=np.int64)
    n, k = areas.shape
    seen = areas > 0
    sure = np.where(seen, np.broadcast_to(certainty, areas.shape), 0.0)
    return SliceEvidence(
        zs=5 * np.arange(n),
        z_mm=STEP_MM * np.arange(n),
        labels=LabelSet({f"organ_{i + 1}": i + 1 for i in range(k)}),
        area_px=areas,
        area_mm2=areas * 1.0,
        confidence=sure,
        agreement=np.ones((n, k)),
        largest_share=seen * 1.0,
        possible_px=areas if possible is None else np.asarray(possible),
    )


def hump(n, first, last, peak=100):
    """An organ of n slices that lies in [first, last] and is largest in the middle."""
    z = np.arange(n)
    middle, half = (first + last) / 2, (last - first) / 2 + 1
    return np.where((z >= first) & (z <= last), peak * (1 - ((z - middle) / half) ** 2) + 1, 0)


TWO = np.stack([hump(20, 2, 16, 900), hump(20, 8, 10, 60)], axis=1)
NAMES = sorted(SELECTORS)


def test_agreement_spreads_guides_and_marks_both_ends_of_every_organ():
    chosen = select("agreement", evidence_of(TWO), settings=SelectionSettings(max_gap_mm=30))
    for organ, first, last in ((1, 2, 16), (2, 8, 10)):
        z_mm = [guide.z / 5 * STEP_MM for guide in chosen if organ in guide.organs]
        assert max(np.diff(z_mm), default=0) <= 30
        assert min(z_mm) - first * STEP_MM <= 15
        assert last * STEP_MM - max(z_mm) <= 15
        empty = [guide.z / 5 for guide in chosen if organ in guide.absent]
        assert max(z for z in empty if z < first) >= first - 2
        assert min(z for z in empty if z > last) <= last + 2


def test_agreement_says_why():
    reasons = " | ".join(guide.reason for guide in select("agreement", evidence_of(TWO)))
    assert "sure of organ_1 (0.90)" in reasons
    assert "just beyond organ_1" in reasons


def test_a_guide_carries_only_what_both_networks_are_sure_of():
    certainty = np.full((20, 2), 0.9)
    certainty[5, 0] = 0.3  # below 0.6 of its best
    for guide in select("agreement", evidence_of(TWO, certainty=certainty)):
        assert not (guide.z == 25 and 1 in guide.organs)
        assert not guide.organs & guide.absent


def test_a_specks_slice_neither_carries_nor_extends_the_organ():
    areas = TWO.copy()
    areas[19, 1] = 2
    certainty = np.full((20, 2), 0.9)
    certainty[19, 1] = 0.1
    chosen = select("agreement", evidence_of(areas, certainty=certainty))
    assert all(2 not in guide.organs for guide in chosen if guide.z == 95)
    assert any(2 in guide.absent for guide in chosen if guide.z / 5 in (11, 12))


def test_a_far_speck_of_high_certainty_is_left_out_too():
    areas = TWO.copy()
    areas[19, 1] = 2
    chosen = select("agreement", evidence_of(areas), settings=SelectionSettings(max_gap_mm=25))
    assert all(2 not in guide.organs for guide in chosen if guide.z == 95)


def test_a_doubtful_slice_is_no_end():
    possible = TWO.copy()
    possible[11, 1] = 40  # one network still sees the organ there
    chosen = select(
        "agreement",
        evidence_of(TWO, possible=possible),
        settings=SelectionSettings(end_slack_mm=0),
    )
    assert min(guide.z / 5 for guide in chosen if 2 in guide.absent and guide.z > 50) == 12


def test_a_hole_inside_an_organ_is_unknown_not_absent():
    areas = TWO.copy()
    areas[9] = 0
    for guide in select("agreement", evidence_of(areas)):
        if guide.z == 45:
            assert 1 not in guide.absent


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 24).flatmap(
        lambda n: st.lists(
            st.tuples(st.integers(0, n - 1), st.integers(0, n - 1), st.integers(1, 5000)),
            min_size=1,
            max_size=5,
        ).map(lambda organs: (n, organs))
    ),
    st.sampled_from(NAMES),
    st.integers(1, 30),
)
def test_every_selector_keeps_its_promises(case, name, budget):
    n, organs = case
    areas = np.stack([hump(n, min(a, b), max(a, b), peak) for a, b, peak in organs], axis=1)
    evidence = evidence_of(areas)
    limits = SelectionSettings(budget=budget)
    chosen = select(name, evidence, settings=limits, rng=np.random.default_rng(0))
    zs = [guide.z for guide in chosen]
    assert zs == sorted(set(zs))
    assert set(zs) <= set(evidence.zs.tolist())
    assert name == "largest-area" or len(zs) <= budget
    for guide in chosen:
        assert guide.organs | guide.absent
        assert not guide.organs & guide.absent
        assert guide.organs <= {k + 1 for k in np.flatnonzero(areas[guide.z // 5])}
        assert guide.reason
    if name != "random" and budget >= 24:
        assert {organ for guide in chosen for organ in guide.organs} >= (
            set() if name == "uniform" else set(range(1, len(organs) + 1))
        )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_found_chooses_nothing(name):
    rng = np.random.default_rng(0)
    assert select(name, evidence_of(np.zeros((6, 3))), rng=rng) == ()
    assert select(name, evidence_of(np.zeros((0, 3))), rng=rng) == ()


@pytest.mark.parametrize("name", NAMES)
def test_one_slice_and_an_organ_that_is_nowhere(name):
    (guide,) = select(name, evidence_of([[50, 0]]), rng=np.random.default_rng(0))
    assert guide.organs == {1}
    assert 2 not in guide.organs


def test_largest_area_takes_the_union_with_whole_masks():
    chosen = select("largest-area", evidence_of(TWO))
    assert [guide.z for guide in chosen] == [45]
    assert chosen[0].organs == {1, 2}
    apart = np.stack([hump(20, 0, 6), hump(20, 10, 18)], axis=1)
    chosen = select("largest-area", evidence_of(apart))
    assert [(guide.z, guide.organs, guide.absent) for guide in chosen] == [
        (15, {1}, {2}),
        (70, {2}, {1}),
    ]


def test_a_small_budget_serves_every_organ_before_it_spreads():
    apart = np.stack([hump(20, 0, 6, 5000), hump(20, 10, 18, 20)], axis=1)
    chosen = select("agreement", evidence_of(apart), settings=SelectionSettings(budget=2))
    assert {organ for guide in chosen for organ in guide.organs} == {1, 2}


def test_random_is_replayed_by_its_seed_and_needs_one():
    one, two = (
        select("random", evidence_of(TWO), rng=np.random.default_rng(seed)) for seed in (5, 5)
    )
    assert one == two
    with pytest.raises(RecipeError, match="needs rng"):
        select("random", evidence_of(TWO))


def test_an_unknown_selector_is_refused_with_a_suggestion():
    with pytest.raises(RecipeError, match="did you mean 'agreement'"):
        select("agrement", evidence_of(TWO))


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="max_gap_mm"):
        SelectionSettings(max_gap_mm=0)
    with pytest.raises(ValueError, match="certainties"):
        SelectionSettings(least_certainty=2)
