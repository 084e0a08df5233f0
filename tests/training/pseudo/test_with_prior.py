"""Each rule answers for made-up facts as one would."""

from __future__ import annotations

import pytest

from slicekit.training.pseudo import Order, OrganFacts, OrganPrior, Prior
from slicekit.training.pseudo.rules import RULES
from slicekit.training.pseudo.verdict import Question

LIVER = OrganPrior("liver", 4, 0, (1000.0, 1600.0), (500.0, 3200.0), 0.7, 0.8, ("superior",))
SPLEEN = OrganPrior("spleen", 4, 4, None, None, None, None, ())
PRIOR = Prior(4, {"liver": LIVER, "spleen": SPLEEN}, (Order("liver", "spleen", "right", 40.0, 4),))


def ask(name, threshold=None, prior=PRIOR, organ="liver", others=(), **known):
    facts = OrganFacts(organ, **({"voxels": 1000, "volume_ml": 1200.0} | known))
    kind = RULES[name]
    case = {one.organ: one for one in (facts, *others)}
    return kind.check(
        Question(facts, case, prior, kind.threshold if threshold is None else threshold)
    )


@pytest.mark.parametrize(
    ("ml", "passed", "score"),
    [
        (1200.0, True, 1.0),
        (1000.0, True, 1.0),
        (500.0, True, 0.5),
        (499.0, False, 0.499),
        (707.1, True, 0.75),
        (3200.0, True, 0.5),
        (3300.0, False, 0.48),
        (9000.0, False, 0.0),
        (1.0, False, 0.0),
    ],
)
def test_volume(ml, passed, score):
    found = ask("volume", volume_ml=ml)
    assert found.passed == passed
    assert found.score == pytest.approx(score, abs=0.01)
    assert f"{ml:.1f} ml" in found.reason and "500.0 to 3200.0 ml" in found.reason


def test_volume_by_what_was_seen_alone():
    assert ask("volume", threshold=1.0, volume_ml=1000.0).passed
    assert not ask("volume", threshold=1.0, volume_ml=999.0).passed
    tight = Prior(4, {"liver": OrganPrior("liver", 4, 0, (9.0, 9.0), (9.0, 9.0), 1.0, 1.0, ())}, ())
    assert ask("volume", prior=tight, volume_ml=9.0).score == 1.0
    assert ask("volume", prior=tight, volume_ml=9.1).score == 0.0


def test_an_organ_cut_off_by_the_scan_may_be_smaller_but_not_larger():
    cut = frozenset({"superior"})
    assert ask("volume", volume_ml=10.0, touches_border=cut).passed
    assert (
        "cuts it off at its superior end"
        in ask("volume", volume_ml=10.0, touches_border=cut).reason
    )
    assert not ask("volume", volume_ml=9000.0, touches_border=cut).passed
    assert not ask("volume", volume_ml=10.0, touches_border=frozenset({"left"})).passed


def test_an_organ_that_no_case_shows_has_no_volume_to_compare():
    assert not ask("volume", organ="spleen").passed
    assert "none of 4 labelled cases has it" in ask("volume", organ="spleen").reason
    assert "no labelled case was annotated" in ask("volume", organ="colon").reason


def test_component_and_continuity_ask_no_more_than_labelled_cases_have():
    assert ask("component", largest_share=0.75).passed  # 0.7 was seen
    assert not ask("component", largest_share=0.65).passed
    assert not ask("component", prior=None, largest_share=0.75).passed
    assert ask("continuity", continuity=0.85).passed
    assert not ask("continuity", continuity=0.75).passed
    assert not ask("continuity", prior=None, continuity=0.85).passed
    assert ask("component", prior=None, threshold=0.5, largest_share=0.75).score == 0.75
    assert "holds 65.0% of it" in ask("component", largest_share=0.65).reason


def test_order_is_asked_of_the_others():
    def spleen(at):
        return OrganFacts("spleen", 10, 1.0, centroid_mm=(at, 0.0, 0.0))

    here = (0.0, 0.0, 0.0)
    assert ask("order", centroid_mm=here, others=[spleen(-60.0)]).score == 1.0
    wrong = ask("order", centroid_mm=here, others=[spleen(60.0)])
    assert not wrong.passed
    assert "0 of 1 orders" in wrong.reason and "liver right of spleen (by 40 mm)" in wrong.reason
    alone = ask("order", centroid_mm=here)
    assert alone.passed and alone.score < 1 and "no order" in alone.reason


def test_border():
    assert ask("border").score == 1.0
    assert ask("border", touches_border=frozenset({"superior"})).score == 1.0  # seen
    end = ask("border", touches_border=frozenset({"inferior"}))
    assert end.passed and end.score == 0.5
    assert not ask("border", threshold=1.0, touches_border=frozenset({"inferior"})).passed
    side = ask("border", touches_border=frozenset({"left", "inferior"}))
    assert not side.passed and "inferior and left side" in side.reason


def test_voxels():
    assert not ask("voxels", voxels=1999).passed
    assert ask("voxels", voxels=2000).score == 1.0
    assert ask("voxels", voxels=500, threshold=2000).score == 0.125
    assert ask("voxels", voxels=1, threshold=0).passed
    assert ask("voxels", voxels=1999).reason == "1999 voxels, at least 2000 are wanted"
