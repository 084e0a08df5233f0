"""Scores of label maps, organ by organ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slicekit.errors import GeometryError, LabelError
from slicekit.labels import LabelSet
from slicekit.metrics import (
    dice,
    evaluate,
    hausdorff95,
    mean_of,
    summarise,
    surface_dice,
    tolerance_of,
)
from slicekit.volume import Volume

SPACING_MM = (2.0, 1.0, 1.0)
LABELS = LabelSet({"liver": 1, "spleen": 2, "colon": 3})


def ball(centre_mm=(30.0, 30.0, 30.0), radius_mm=16.0, spacing_mm=SPACING_MM, size_mm=64.0):
    axes = [np.arange(round(size_mm / step)) * step for step in spacing_mm]
    away = [(axis - middle) ** 2 for axis, middle in zip(axes, centre_mm, strict=True)]
    return away[0][:, None, None] + away[1][:, None] + away[2] <= radius_mm**2


def volume(array, spacing_mm=SPACING_MM):
    return Volume(array, np.diag([*spacing_mm, 1.0]))


def labels_with(**masks):
    array = np.zeros(next(iter(masks.values())).shape, dtype=np.uint8)
    for name, mask in masks.items():
        array[mask] = LABELS.id_of(name)
    return volume(array)


def test_flare_tolerances_by_name():
    assert tolerance_of("liver") == 5.0
    assert tolerance_of("Right Kidney") == tolerance_of("kidney_right") == 3.0
    assert tolerance_of("adrenal_gland_left") == 2.0
    assert tolerance_of("duodenum") == 7.0
    assert tolerance_of("colon") == 2.0


def test_evaluate_scores_each_organ_and_says_how():
    liver, spleen = ball(), ball((30.0, 30.0, 56.0), radius_mm=5.0)
    truth, pred = labels_with(liver=liver, spleen=spleen), labels_with(liver=liver, colon=spleen)
    by_name = {score.organ: score for score in evaluate(pred, truth, LABELS)}
    assert by_name["liver"].status == "scored"
    assert (by_name["liver"].dsc, by_name["liver"].nsd, by_name["liver"].hd95_mm) == (1.0, 1.0, 0.0)
    assert by_name["liver"].tolerance_mm == 5.0
    assert (by_name["spleen"].status, by_name["spleen"].dsc) == ("missed", 0.0)
    assert (by_name["colon"].status, by_name["colon"].nsd) == ("invented", 0.0)
    assert math.isnan(by_name["colon"].hd95_mm)


def test_evaluate_equals_the_single_metrics():
    one, other = ball(), ball((34.0, 30.0, 33.0))
    (score,) = evaluate(labels_with(liver=other), labels_with(liver=one), LABELS, organs=["liver"])
    kind = {"spacing_mm": SPACING_MM}
    assert score.dsc == dice(one, other)
    assert score.nsd == surface_dice(one, other, tolerance_mm=5.0, **kind)
    assert score.hd95_mm == hausdorff95(one, other, **kind)


def test_organs_nobody_annotated_are_not_evaluated():
    truth = labels_with(liver=ball())
    pred = labels_with(liver=ball(), spleen=ball((30.0, 30.0, 56.0), radius_mm=5.0))
    liver, spleen, colon = evaluate(pred, truth, LABELS, annotated=["liver", "colon"])
    assert liver.dsc == 1.0
    assert spleen.status == "not evaluated"
    assert all(map(math.isnan, (spleen.dsc, spleen.nsd, spleen.hd95_mm)))
    assert (colon.status, colon.dsc, colon.nsd) == ("absent", 1.0, 1.0)


def test_ignored_voxels_count_on_neither_side():
    truth, pred = labels_with(liver=ball()), labels_with(liver=ball())
    truth.array[:10] = 255
    pred.array[:5] = 3
    by_name = {score.organ: score for score in evaluate(pred, truth, LABELS)}
    assert by_name["liver"].dsc == 1.0
    assert by_name["colon"].status == "absent"


def test_what_cannot_be_compared_is_refused():
    truth = labels_with(liver=ball())
    with pytest.raises(GeometryError):
        evaluate(volume(truth.array[1:]), truth, LABELS)
    with pytest.raises(LabelError, match="whole numbers"):
        evaluate(truth.with_array(truth.array.astype(np.float32)), truth, LABELS)
    with pytest.raises(LabelError, match="did you mean 'liver'"):
        evaluate(truth, truth, LABELS, organs=["lver"])


def test_summaries_pass_over_what_was_not_evaluated():
    truth = labels_with(liver=ball())
    good = evaluate(truth, truth, LABELS, annotated=["liver"])
    bad = evaluate(truth.with_array(truth.array * 0), truth, LABELS, annotated=["liver", "spleen"])
    liver, spleen, colon = summarise([good, bad])
    assert (liver.dsc, liver.nsd, liver.hd95_mm, liver.cases) == (0.5, 0.5, 0.0, 2)
    assert (spleen.dsc, spleen.cases) == (1.0, 1)
    assert math.isnan(colon.dsc) and colon.cases == 0
    assert math.isnan(mean_of([]))
