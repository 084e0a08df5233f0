"""What a teacher says is fixed; its surest slices become labels, and never empty ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.networks import Committee
from slicekit.recipes import TeacherRecipe, TrainingRecipe
from slicekit.training.supervision import ramp, supervised_step
from slicekit.training.teacher import confident_labels, consistency_step, mean_softmax

PLENTY = 1 << 30
TEACHER = TeacherRecipe(weight=3.0, ramp_share=0.4)


def take(network, batch, average, *, progress=1.0, settings=TEACHER, **options):
    training = TrainingRecipe(steps=1, teacher=settings)
    return consistency_step(
        network, batch, progress=progress, average=average, training=training, **options
    )


@pytest.fixture
def pupil(committee):
    return committee(1)


@pytest.fixture
def average(committee):
    return committee(2).eval()


@pytest.fixture
def nothing(batch):
    """A batch whose labels teach nothing."""
    return replace(batch, labels=torch.full_like(batch.labels, IGNORE_ID))


def test_the_parts_add_up(batch, pupil, average):
    result = take(pupil, batch, average, progress=0.2)
    parts = {name: float(value) for name, value in result.parts.items()}
    assert parts["consistency"] > 0
    assert parts["weight"] == pytest.approx(ramp(0.2, TEACHER))
    assert float(result.loss.detach()) == pytest.approx(
        parts["supervised"] + parts["weight"] * parts["consistency"]
    )


def test_consistency_is_the_mean_squared_difference_of_softmax_maps(nothing, pupil, average):
    slices = nothing.slices[2:]
    wanted = (pupil.a(slices).softmax(1) - average.a(slices).softmax(1)).square().mean()
    torch.testing.assert_close(take(pupil, nothing, average).loss, 3.0 * wanted)
    assert float(take(pupil, nothing, pupil).loss.detach()) == pytest.approx(0, abs=1e-12)


def test_weight_0_and_no_unlabelled_slices_are_supervised_training(batch, pupil, average):
    labelled = replace(
        batch, slices=batch.slices[:2], position=batch.position[:2], outside=batch.outside[:0]
    )
    off = TeacherRecipe(weight=0.0)
    for given, settings in ((batch, off), (labelled, TEACHER)):
        result = take(pupil, given, average, settings=settings)
        training = TrainingRecipe(steps=1)
        wanted = supervised_step(pupil, given, progress=1.0, average=average, training=training)
        assert torch.equal(result.loss, wanted.loss)
        assert set(result.parts) == {"supervised"}


def test_the_teachers_word_carries_no_gradient(batch, pupil, average):
    take(pupil, batch, average).loss.backward()
    assert all(parameter.grad is None for parameter in average.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in pupil.parameters())


def test_a_teacher_trained_before_goes_before_the_average(nothing, pupil, average, committee):
    teacher = committee(3).eval()
    loss = take(pupil, nothing, average, teacher=teacher).loss
    assert torch.equal(loss, take(pupil, nothing, teacher).loss)
    assert not torch.equal(loss, take(pupil, nothing, average).loss)


def test_of_several_members_each_follows_their_mean(nothing, committee):
    pupils, teachers = committee(1, 2), committee(3, 4, 5).eval()
    slices = nothing.slices[2:]
    mean = torch.stack([member(slices).softmax(1) for member in teachers.members]).mean(0)
    torch.testing.assert_close(mean_softmax(teachers(slices)), mean)
    wanted = sum((one(slices).softmax(1) - mean).square().mean() for one in pupils.members)
    torch.testing.assert_close(take(pupils, nothing, teachers).parts["consistency"], wanted)


def test_pupils_answer_the_strong_view_as_teachers_the_weak_one(nothing, pupil, average):
    strong = nothing.slices[2:] ** 2
    wanted = (pupil.a(strong).softmax(1) - average.a(nothing.slices[2:]).softmax(1)).square()
    given = replace(nothing, strong=strong)
    torch.testing.assert_close(take(pupil, given, average).loss, 3.0 * wanted.mean())


def test_pixels_outside_of_an_unlabelled_slice_teach_nothing(nothing, pupil, average):
    outside, slices = nothing.outside.clone(), nothing.slices.clone()
    outside[:, :, 3:] = True
    slices[2:, :, :, 3:] = 0.77
    cut = replace(nothing, outside=outside)
    one, other = (take(pupil, given, average) for given in (cut, replace(cut, slices=slices)))
    torch.testing.assert_close(one.loss, other.loss)
    narrow = replace(nothing, slices=nothing.slices[..., :3], outside=outside[..., :3])
    narrow = replace(narrow, labels=narrow.labels[..., :3])
    torch.testing.assert_close(one.loss, take(pupil, narrow, average).loss)
    assert int(one.counts["pseudo"].sum()) == 6 * 3
    everything = replace(nothing, outside=torch.ones_like(outside))
    assert float(take(pupil, everything, average).loss.detach()) == 0


class ByHeight(nn.Module):
    """Sees the liver in the upper half of slices, as surely as told; 0 is not at all."""

    def __init__(self, sure, recipe):
        super().__init__()
        self.sure, self.classes = sure, len(recipe.labels) + 1
        self.liver = recipe.organs["liver"]

    def forward(self, slices, position):
        logits = torch.zeros(len(slices), self.classes, *slices.shape[2:])
        logits[:, 0] = 20.0
        for n, share in enumerate(position.tolist()):
            certainty = self.sure[round(share * (len(self.sure) - 1))]
            logits[n, self.liver, :8] = 20.0 + certainty if certainty else 0.0
        return logits


@pytest.fixture
def label(make_recipe, runtime):
    """Let a teacher label a scan, as sure of each slice as told; settings are the recipe's."""

    def run(sure, **settings):
        recipe = make_recipe(teacher=settings)
        bare = CachedScan("bare", np.zeros((len(sure), 16, 16), np.int16), None, 5.0)
        teacher = Committee(ByHeight(sure, recipe)).eval()
        (scan,) = confident_labels(
            teacher, [bare], recipe=recipe, runtime=runtime, budget_bytes=PLENTY
        )
        return scan

    return run


@pytest.mark.parametrize(("share", "kept"), [(0.3, 3), (0.5, 5), (0.04, 0), (0.0, 0)])
def test_the_surest_share_of_slices_is_kept(label, make_recipe, share, kept):
    sure = np.array([1, 9, 4, 3, 8, 2, 7, 6, 5, 10.0]) / 10
    scan = label(sure, keep_share=share)
    wanted = np.sort(np.argsort(-sure)[:kept])
    assert scan.annotated.tolist() == wanted.tolist()
    assert (np.delete(scan.labels, wanted, axis=0) == IGNORE_ID).all()
    liver = make_recipe().organs["liver"]
    assert (scan.labels[wanted, :8] == liver).all()
    assert (scan.labels[wanted, 8:] == 0).all()
    assert scan.known_classes(14).all()


def test_of_equally_sure_slices_no_more_than_the_share_is_kept(label):
    scan = label(np.full(20, 9.0), keep_share=0.5)
    assert len(scan.annotated) == 10


def test_empty_slices_are_never_kept(label):
    """They are sure of background, and would crowd out the others."""
    sure = np.zeros(12)
    sure[[2, 7]] = 0.5, 0.1
    scan = label(sure, keep_share=1.0)
    assert scan.annotated.tolist() == [2, 7]


def test_the_share_is_of_the_slices_of_all_scans(scans, make_recipe, runtime):
    recipe = make_recipe(teacher={"keep_share": 0.25})
    bare = [replace(scan, labels=None) for scan in scans[:2]]

    class First(nn.Module):
        """Sees the liver on every slice, and is surer of the scan that comes first."""

        def __init__(self):
            super().__init__()
            self.seen = 0

        def forward(self, slices, position):
            logits = torch.zeros(len(slices), 14, *slices.shape[2:])
            logits[:, recipe.organs["liver"]] = 5.0 if self.seen < len(bare[0].slices) else 1.0
            self.seen += len(slices)
            return logits

    found = confident_labels(
        Committee(First()), bare, recipe=recipe, runtime=runtime, budget_bytes=PLENTY
    )
    assert [len(scan.annotated) for scan in found] == [8, 0]
    assert [scan.name for scan in found] == [scan.name for scan in bare]
    assert all(scan.labels is None for scan in bare)


def test_a_teacher_that_sees_nothing_is_refused(label, make_recipe, runtime):
    with pytest.raises(DatasetError, match=r"sees no organ on any of 6 unlabelled slices.*longer"):
        label(np.zeros(6))
    with pytest.raises(DatasetError, match="any of 0 unlabelled slices"):
        confident_labels(
            Committee(nn.Identity()), (), recipe=make_recipe(), runtime=runtime, budget_bytes=PLENTY
        )


def test_labels_beyond_the_budget_lie_on_disk_and_are_the_same(
    make_recipe, runtime, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recipe, sure = make_recipe(teacher={"keep_share": 0.5}), np.arange(1.0, 7.0)
    bare = [CachedScan(name, np.zeros((6, 16, 16), np.int16), None, 5.0) for name in "abc"]
    teacher = Committee(ByHeight(sure, recipe)).eval()

    def label(budget):
        return confident_labels(teacher, bare, recipe=recipe, runtime=runtime, budget_bytes=budget)

    wanted, found = label(PLENTY), label(2 * 6 * 16 * 16)
    assert [isinstance(scan.labels, np.memmap) for scan in found] == [False, False, True]
    assert len(list(tmp_path.iterdir())) == 1
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
    assert found[2].annotated.tolist() == [3, 4, 5]
    del found, one
    found = label(-1)  # the slices took more than everything
    assert len(list(tmp_path.iterdir())) == 3
    del found
    assert not list(tmp_path.iterdir())
