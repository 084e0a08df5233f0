"""What is learned from made-up facts and from phantoms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import DatasetError
from slicekit.training.pseudo import (
    Order,
    OrganFacts,
    OrganPrior,
    Prior,
    PriorSettings,
    learn_prior,
    measure_facts,
)


def fact(organ, ml=100.0, at=(0.0, 0.0, 0.0), **more):
    more = {"largest_share": 1.0, "continuity": 1.0} | more
    return OrganFacts(organ, 1000, ml, centroid_mm=at, **more)


def absent(organ):
    return OrganFacts(organ, 0, 0.0)


def by_name(*facts):
    return {one.organ: one for one in facts}


def test_volumes_are_widened_more_where_fewer_cases_were_seen():
    cases = [by_name(fact("liver", ml)) for ml in (1000.0, 1600.0, 1200.0, 1400.0)]
    four = learn_prior(cases).organs["liver"]
    assert four.seen_ml == (1000.0, 1600.0)
    assert four.volume_ml == (500.0, 3200.0)  # the factor is 1 + 4 / 4
    assert learn_prior(cases[:1]).organs["liver"].volume_ml == (200.0, 5000.0)
    exact = learn_prior(cases, settings=PriorSettings(volume_slack=0.0)).organs["liver"]
    assert exact.volume_ml == exact.seen_ml


def test_an_organ_that_the_scan_cuts_off_is_no_small_one():
    cut = fact("liver", 200.0, touches_border=frozenset({"superior"}))
    whole = fact("liver", 1000.0)
    assert learn_prior([by_name(cut), by_name(whole)]).organs["liver"].seen_ml == (1000.0, 1000.0)
    assert learn_prior([by_name(cut)]).organs["liver"].seen_ml == (200.0, 200.0)
    assert learn_prior([by_name(cut)]).organs["liver"].borders == ("superior",)


def test_what_nobody_looked_for_is_not_absent():
    cases = [by_name(fact("liver"), absent("gallbladder")), by_name(fact("liver")), {}]
    found = learn_prior(cases).organs
    assert (found["liver"].annotated, found["liver"].may_be_absent) == (2, False)
    assert (found["gallbladder"].annotated, found["gallbladder"].absent_share) == (1, 1.0)
    assert found["gallbladder"].volume_ml is None


def test_the_worst_wholeness_is_kept():
    cases = [by_name(fact("aorta", largest_share=share)) for share in (1.0, 0.66, 0.9)]
    assert learn_prior(cases).organs["aorta"].least_share == 0.66


def test_an_order_holds_in_every_case_by_a_margin():
    cases = [
        by_name(fact("liver", at=(70.0, 30.0, 0.0)), fact("spleen", at=(-60.0, 5.0, 8.0))),
        by_name(fact("liver", at=(50.0, 9.0, 9.0)), fact("spleen", at=(-80.0, 0.0, 40.0))),
    ]
    (order,) = learn_prior(cases).orders  # in front of: 9 mm once; above: the margin fails once
    assert order == Order("liver", "spleen", "right", 130.0, 2)
    assert str(order) == "liver right of spleen"
    assert {o.side for o in learn_prior(cases, settings=PriorSettings(margin_mm=5.0)).orders} == {
        "right", "anterior", "inferior",
    }  # fmt: skip
    assert learn_prior(cases[:1]).orders == ()  # once is not a rule
    one = learn_prior(cases[:1], settings=PriorSettings(least_cases=1)).orders
    assert [order.side for order in one] == ["right", "anterior"]


def test_the_middle_of_the_body_is_a_landmark_too():
    cases = [by_name(fact("spleen", from_body_mm=(-90.0 + n, -4.0))) for n in range(3)]
    (order,) = learn_prior(cases).orders
    assert order == Order("spleen", None, "left", 88.0, 3)
    assert str(order) == "spleen left of the middle of the body"
    assert order.gap_mm(cases[0]) == 90.0
    assert order.gap_mm(by_name(fact("spleen"))) is None  # no body was given
    assert order.gap_mm({}) is None


def test_the_gap_of_an_absent_organ_is_unknown():
    order = Order("liver", "spleen", "right", 100.0, 4)
    liver, spleen = fact("liver", at=(10.0, 0, 0)), fact("spleen", at=(40.0, 0, 0))
    assert order.gap_mm(by_name(liver, spleen)) == -30.0
    assert order.gap_mm(by_name(liver, absent("spleen"))) is None
    assert order.gap_mm(by_name(liver)) is None


def test_phantoms_teach_anatomy(prior):
    told = {str(order) for order in prior.orders}
    assert {
        "liver left of spleen", "spleen right of liver", "right_kidney left of left_kidney",
    }.isdisjoint(told)  # fmt: skip
    for pair in (
        {"spleen left of liver", "liver right of spleen"},
        {"right_kidney right of left_kidney", "left_kidney left of right_kidney"},
        {"pancreas above left_kidney", "left_kidney below pancreas",
         "left_adrenal_gland above left_kidney", "left_kidney below left_adrenal_gland"},
        {"liver right of the middle of the body"},
    ):  # fmt: skip
        assert pair & told
    for order in prior.orders:
        assert order.least_mm >= 15.0 and order.cases == 4
    assert prior.cases == 4 and set(prior.organs) == set(PHANTOM_LABELS.names)
    assert not any(organ.may_be_absent for organ in prior.organs.values())


def test_every_labelled_case_follows_its_own_prior(prior, phantoms):
    for made in phantoms:
        facts = measure_facts(made.labels, PHANTOM_LABELS, body=(0, 64, 0, 64))
        assert all(order.gap_mm(facts) >= order.least_mm for order in prior.orders)


def test_what_cannot_be_is_refused():
    with pytest.raises(DatasetError, match="at least one labelled case"):
        learn_prior([])
    with pytest.raises(ValueError, match="slack"):
        PriorSettings(volume_slack=-1)
    organ = OrganPrior("liver", 4, 0, (900.0, 1500.0), (450.0, 3000.0), 1.0, 1.0, ())
    for change, told in [
        ({"absent": 5}, "5 of 4"),
        ({"seen_ml": (1500.0, 900.0)}, "rise"),
        ({"volume_ml": (1000.0, 3000.0)}, "within"),
        ({"volume_ml": None}, "go together"),
        ({"volume_ml": (450.0, float("nan"))}, "within"),
    ]:
        with pytest.raises(ValueError, match=told):
            replace(organ, **change)
    with pytest.raises(ValueError, match="spleen"):
        Prior(4, {"liver": organ}, (Order("liver", "spleen", "right", 20.0, 4),))
    with pytest.raises(ValueError, match="lung"):
        Prior(4, {"lung": organ}, ())
