"""What to annotate next, where the answer can be said beforehand."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import LabelError, RecipeError, ShapeError
from slicekit.inference.acquisition import STRATEGIES, AcquisitionSettings, choose
from slicekit.inference.doubt import SliceDoubt, summarise_slice

SURE = AcquisitionSettings(noise=0.0, min_distance_mm=0.0)


def doubt(case, z, *, liver=0.0, spleen=0.0, apart=None, area=10, step_mm=5.0, members=2):
    entropy = {"liver": liver, "spleen": spleen}
    apart = entropy if apart is None else {"liver": apart, "spleen": 0.0}
    return SliceDoubt(case, z, z * step_mm, entropy, apart, {"liver": area, "spleen": 0}, members)


def scan(case, peaks, count=20, **more):
    """Slices of which only the peaks are doubtful: slice to doubt about the liver."""
    return [doubt(case, z, liver=peaks.get(z, 0.01), **more) for z in range(count)]


def ask(doubts, n, strategy="entropy", seed=0, **more):
    return choose(doubts, n, strategy, rng=np.random.default_rng(seed), **more)


def places(choices):
    return [(one.case, one.z) for one in choices]


def test_without_noise_the_most_doubtful_come_first():
    doubts = scan("a", {3: 5.0, 12: 9.0}) + scan("b", {7: 7.0})
    found = ask(doubts, 3, settings=SURE)
    assert places(found) == [("a", 12), ("b", 7), ("a", 3)]
    assert [one.organ for one in found] == ["liver", "liver", None]
    assert found[0].reason == "entropy of liver is 9.0 px, rank 1 of 40 slices"
    assert found[2].reason == (
        "entropy of all organs, mostly liver, is 5.0 px, rank 3 of 40 slices"
    )


def test_organs_share_two_thirds_however_small_their_doubt():
    doubts = scan("a", dict.fromkeys(range(15), 900.0))
    doubts += [doubt("b", z, spleen=0.5) for z in range(15)]
    found = ask(doubts, 9, settings=SURE)
    assert Counter(one.organ for one in found) == {"liver": 3, "spleen": 3, None: 3}
    assert Counter(one.case for one in found) == {"a": 6, "b": 3}
    greedy = ask(doubts, 9, settings=replace(SURE, class_share=0.0))
    assert {one.case for one in greedy} == {"a"}


def test_weights_shift_shares_and_sums():
    doubts = [doubt("a", z, liver=1.0 + z / 100) for z in range(20)]
    doubts += [doubt("b", z, spleen=1.0 + z / 100) for z in range(20)]
    found = ask(doubts, 12, settings=replace(SURE, weights={"liver": 3.0}))
    assert Counter(one.organ for one in found) == {"liver": 6, "spleen": 2, None: 4}
    assert Counter(one.case for one in found) == {"a": 10, "b": 2}
    none = ask(doubts, 6, settings=replace(SURE, weights={"liver": 0.0}))
    assert {one.case for one in none} == {"b"}


def test_a_share_that_cannot_be_dealt_evenly_goes_by_lot():
    doubts = [doubt("a", z, liver=1.0, spleen=1.0) for z in range(40)]
    seen = {ask(doubts, 1, seed=seed, settings=SURE)[0].organ for seed in range(20)}
    assert seen == {"liver", "spleen"}


def test_noise_spreads_choices_and_one_seed_gives_one_choice():
    doubts = scan("a", {z: 1.0 + z / 10 for z in range(20)})
    noisy = replace(SURE, noise=1.0)
    assert ask(doubts, 4, settings=noisy) == ask(doubts, 4, settings=noisy)
    assert ask(doubts[::-1], 4, settings=noisy) == ask(doubts, 4, settings=noisy)
    firsts = {ask(doubts, 1, seed=seed, settings=noisy)[0].z for seed in range(30)}
    assert len(firsts) > 5
    assert {ask(doubts, 1, seed=seed, settings=SURE)[0].z for seed in range(5)} == {19}


def test_noise_draws_in_proportion_to_doubt():
    doubts = [doubt("a", 0, liver=3.0), doubt("b", 0, liver=1.0)]
    rng = np.random.default_rng(0)
    drawn = Counter(choose(doubts, 1, rng=rng)[0].case for _ in range(400))
    assert drawn["a"] == pytest.approx(300, abs=35)


def test_neighbours_are_not_both_chosen():
    doubts = scan("a", {9: 8.0, 10: 9.0, 11: 8.0, 14: 2.0, 6: 1.0})
    found = ask(doubts, 3, settings=AcquisitionSettings(noise=0.0, min_distance_mm=20.0))
    assert places(found) == [("a", 10), ("a", 14), ("a", 6)]
    # distance is in mm, not in slices, and other scans do not count
    near = scan("a", {9: 8.0, 10: 9.0}, step_mm=20.0) + scan("b", {10: 7.0})
    found = ask(near, 3, settings=AcquisitionSettings(noise=0.0, min_distance_mm=20.0))
    assert places(found) == [("a", 10), ("a", 9), ("b", 10)]


def test_fewer_come_where_there_is_no_room_or_no_doubt():
    wide = AcquisitionSettings(noise=0.0, min_distance_mm=1000.0)
    for strategy in STRATEGIES:
        assert len(ask(scan("a", {4: 2.0}) + scan("b", {}), 9, strategy, settings=wide)) == 2
    nothing = [doubt("a", z) for z in range(20)]
    assert ask(nothing, 3) == ask(nothing, 3, "disagreement") == ()
    assert ask([], 3) == ask(nothing, 0, "random") == ()


def test_what_is_annotated_is_not_chosen_again_nor_are_its_neighbours():
    doubts = scan("a", {10: 9.0, 11: 8.0, 17: 3.0})
    settings = AcquisitionSettings(noise=0.0, min_distance_mm=15.0)
    assert places(ask(doubts, 1, known=[("a", 10)], settings=settings)) == [("a", 17)]
    assert places(ask(doubts, 1, known=[("b", 10)], settings=settings)) == [("a", 10)]
    both = doubts + scan("b", {1: 0.5})
    assert places(ask(both, 2, per="case", known=[("a", 3)])) == [("b", None)]


def test_disagreement_passes_over_doubt_that_all_share():
    doubts = [doubt("a", 3, liver=9.0, apart=0.1), doubt("a", 9, liver=2.0, apart=1.5)]
    assert places(ask(doubts, 1, "disagreement", settings=SURE)) == [("a", 9)]
    assert places(ask(doubts, 1, "entropy", settings=SURE)) == [("a", 3)]
    with pytest.raises(RecipeError, match="one network cannot disagree"):
        ask([doubt("a", 3, liver=9.0, members=1)], 1, "disagreement")


def test_whole_scans_are_chosen_by_their_mean():
    doubts = [doubt("long", z, liver=2.0) for z in range(40)]
    doubts += [doubt("short", z, liver=3.0) for z in range(10)]
    found = ask(doubts, 5, per="case", settings=SURE)
    assert places(found) == [("short", None), ("long", None)]
    assert found[0].reason == "entropy of liver is 3.0 px a slice, rank 1 of 2 scans"
    for strategy in STRATEGIES:
        assert len(ask(doubts, 1, strategy, per="case")) == 1


def test_uniform_is_even_in_millimetres_over_what_shows_an_organ():
    thin = [doubt("thin", z, step_mm=1.0) for z in range(100)]
    thick = [doubt("thick", z, step_mm=10.0) for z in range(10)]
    bare = [doubt("bare", z, area=0) for z in range(50)]
    found = choose(thin + thick + bare, 4, "uniform", settings=SURE)  # needs no rng
    assert Counter(one.case for one in found) == {"thin": 2, "thick": 2}
    assert sorted(one.z for one in found if one.case == "thin") == [24, 74]
    assert found == choose(thin + thick + bare, 4, "uniform", settings=SURE)
    assert len(choose(bare, 4, "uniform")) == 4  # where nothing shows, anything will do


def test_random_draws_what_shows_an_organ():
    doubts = [doubt("a", z, area=int(10 <= z < 20)) for z in range(40)]
    drawn = Counter(z for seed in range(60) for _, z in places(ask(doubts, 1, "random", seed=seed)))
    assert set(drawn) <= set(range(10, 20)) and len(drawn) >= 8
    assert "10 that show an organ" in ask(doubts, 1, "random")[0].reason


def test_a_phantom_that_is_blurred_in_one_place_is_drawn_there(phantoms):
    rng = np.random.default_rng(0)
    doubts = []
    for case, made in zip("ab", phantoms, strict=False):
        for z, plane in enumerate(made.labels.array):
            sure = 0.55 if (case, z) == ("b", 9) else 0.99
            sharp = sure * np.stack([plane == k for k in range(14)])
            vague = (1 - sure) * rng.dirichlet(np.ones(14), size=(2, *plane.shape))
            shares = sharp + np.moveaxis(vague, -1, 1)
            doubts.append(
                summarise_slice(shares, names=PHANTOM_LABELS, case=case, z=z, z_mm=10.0 * z)
            )
    for strategy in ("entropy", "disagreement"):
        found = ask(doubts, 1, strategy, settings=replace(SURE, class_share=0.0))
        assert places(found) == [("b", 9)]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.floats(0, 50), st.integers(0, 2)),
        max_size=25,
        unique_by=lambda row: row[:2],
    ),
    st.integers(0, 12),
    st.sampled_from(sorted(STRATEGIES)),
    st.sampled_from(["slice", "case"]),
    st.floats(0, 40),
    st.integers(0, 3),
)
def test_promises_hold_for_any_doubts(rows, n, strategy, per, distance, seed):
    doubts = [doubt(case, z, liver=amount, area=area) for case, z, amount, area in rows]
    settings = AcquisitionSettings(min_distance_mm=distance)
    found = ask(doubts, n, strategy, per=per, settings=settings, seed=seed)
    assert len(found) <= n
    assert found == ask(doubts[::-1], n, strategy, per=per, settings=settings, seed=seed)
    known = {(one.case, one.z) for one in doubts}
    for one in found:
        assert (one.case, one.z) in known or (one.z is None and per == "case")
        assert re.search(r"\d", one.reason)
    for one, other in combinations(found, 2):
        assert (one.case, one.z) != (other.case, other.z)
        if per == "slice" and one.case == other.case:
            assert 5.0 * abs(one.z - other.z) >= distance


def test_what_cannot_be_meant_is_told():
    doubts = scan("a", {})
    with pytest.raises(RecipeError, match="did you mean 'entropy'"):
        ask(doubts, 1, "entropi")
    with pytest.raises(RecipeError, match="did you mean 'case'"):
        ask(doubts, 1, per="cases")
    for strategy in ("entropy", "disagreement", "random"):
        with pytest.raises(RecipeError, match="needs rng"):
            choose(doubts, 1, strategy)
    with pytest.raises(LabelError, match="did you mean 'liver'"):
        ask(doubts, 1, settings=AcquisitionSettings(weights={"lver": 2.0}))
    with pytest.raises(ShapeError, match="slice 3 of 'a' comes twice"):
        ask([*doubts, doubts[3]], 1)
    odd = replace(doubts[5], entropy_px={"liver": 1.0}, z=77)
    with pytest.raises(ShapeError, match="slice 77 of 'a' has the organs liver, others"):
        ask([*doubts, odd], 1)
    for wrong in ({"noise": -1.0}, {"class_share": 2.0}, {"weights": {"liver": float("nan")}}):
        with pytest.raises(ValueError, match="must be"):
            AcquisitionSettings(**wrong)
