"""A teacher and a pupil: the pupil is to say of unlabelled slices what the teacher says.

``mean-teacher``: the teacher is the running average of the pupil (Tarvainen and Valpola 2017).
``teacher-student``: the teacher was trained before; its most confident slices become labels, and
an L2 term holds the pupil to what it says (Pic and Henon-Just, section 3.1). Here the term is drawn
from all unlabelled slices, those that became labels among them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slicekit.data.on_disk import bytes_in_memory, keep_on_disk
from slicekit.data.slices import CachedScan
from slicekit.errors import DatasetError
from slicekit.labels import IGNORE_ID
from slicekit.networks import Committee
from slicekit.recipes import Recipe, TrainingRecipe
from slicekit.runtime import Runtime
from slicekit.training.evaluation import windows_of
from slicekit.training.loop import StepResult
from slicekit.training.supervision import count_classes, ramp, supervise, supervised_step
from slicekit.training.two_stream import TwoStream

log = logging.getLogger(__name__)

_BATCH = 8


def consistency_step(
    network: Committee,
    batch: TwoStream,
    *,
    progress: float,
    average: nn.Module,
    training: TrainingRecipe,
    teacher: nn.Module | None = None,
) -> StepResult:
    """Add to the supervised loss how far the pupil's softmax is from the teacher's.

    Args:
        network: The pupil.
        batch: Labelled slices, and unlabelled ones for both.
        progress: Share of all steps done; the weight climbs with it.
        average: The running average of the pupil, in eval mode.
        training: Weight and ramp.
        teacher: Another teacher than ``average``, in eval mode.

    Reference: the mean squared difference of softmax maps, as in Mean Teacher; pixels outside of
    a slice do not count.
    """
    n, weight = batch.labelled, ramp(progress, training.teacher)
    if weight == 0 or n == len(batch.slices):
        return supervised_step(
            network, batch, progress=progress, average=average, training=training
        )
    with torch.no_grad():
        wanted = mean_softmax((teacher or average)(*batch.free))
    said = network(*batch.for_pupils)
    supervised = supervise(said, batch, training)
    inside = ~batch.outside[:, None]
    apart = torch.stack(
        [((logits[n:].float().softmax(dim=1) - wanted) ** 2 * inside).sum() for logits in said]
    )
    count = inside.sum().clamp(min=1) * wanted.shape[1]
    consistency = apart.sum() / count
    parts = {
        "supervised": supervised.detach(),
        "consistency": consistency.detach(),
        "weight": torch.tensor(weight),
    }
    classes = wanted.shape[1]
    pseudo = wanted.argmax(dim=1).masked_fill(batch.outside, IGNORE_ID)
    counts = {
        "labelled": count_classes(batch.labels, classes),
        "pseudo": count_classes(pseudo, classes),
    }
    return StepResult(supervised + weight * consistency, parts, counts)


def mean_softmax(said: Sequence[Tensor]) -> Tensor:
    """Return the mean of the members' probabilities, float32."""
    return torch.stack([logits.float().softmax(dim=1) for logits in said]).mean(dim=0)


@torch.inference_mode()
def confident_labels(
    teacher: Committee,
    scans: Sequence[CachedScan],
    *,
    recipe: Recipe,
    runtime: Runtime,
    budget_bytes: int,
) -> tuple[CachedScan, ...]:
    """Label the slices that a teacher is surest of; on the others nothing is known.

    A slice counts by the mean probability of what the teacher calls an organ there; slices on
    which it sees none are not kept, for they would crowd out the others. Labels take a byte a
    pixel of all slices.

    Args:
        teacher: In eval mode, on the runtime's device.
        scans: Scans without labels.
        recipe: What the teacher sees; ``training.teacher.keep_share`` of the slices is kept.
        runtime: Where it runs.
        budget_bytes: Memory that the labels may take together; the rest lies on disk and goes
            with the scans.

    Returns:
        The scans with labels, ``IGNORE_ID`` on the slices that are not kept.

    Raises:
        DatasetError: The teacher sees no organ anywhere.
        WriteError: The disk cannot hold the rest.

    Reference: Pic and Henon-Just, section 3.1 (the 800 most reliable of 1200).
    """
    labels: list[NDArray[np.uint8]] = []
    sure: list[NDArray[np.float64]] = []
    for scan in scans:
        ids, certain = _label(teacher, scan, recipe=recipe, runtime=runtime)
        fits = bytes_in_memory(*labels, ids) <= budget_bytes
        labels.append(ids if fits else keep_on_disk(ids))
        sure.append(certain)
    kept = _surest(sure, share=recipe.training.teacher.keep_share)
    for number, stays in enumerate(kept):
        labels[number] = _only(labels[number], stays)
    return tuple(replace(scan, labels=ids) for scan, ids in zip(scans, labels, strict=True))


def _label(
    teacher: Committee, scan: CachedScan, *, recipe: Recipe, runtime: Runtime
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Label a scan; return ids ``(z, y, x)`` and how sure the teacher is of each slice."""
    ids, sure = np.empty(scan.slices.shape, np.uint8), np.zeros(len(scan.slices))
    for start in range(0, len(scan.slices), _BATCH):
        zs = np.arange(start, min(start + _BATCH, len(scan.slices)))
        position = torch.tensor(zs / max(1, len(scan.slices) - 1), dtype=torch.float32)
        slices = runtime.put(windows_of(scan.slices[zs], recipe))
        with runtime.autocast():
            said = teacher(slices, runtime.put(position))
        best, chosen = mean_softmax(said).max(dim=1)
        organ = chosen > 0
        ids[zs] = chosen.byte().cpu().numpy()
        within = (best * organ).sum(dim=(1, 2)) / organ.sum(dim=(1, 2)).clamp(min=1)
        sure[zs] = within.cpu().numpy()
    return ids, sure


def _only(ids: NDArray[np.uint8], kept: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return labels of which other slices are unknown, on disk where they lay there."""
    known = np.where(kept[:, None, None], ids, np.uint8(IGNORE_ID))
    return keep_on_disk(known) if isinstance(ids, np.memmap) else known


def _surest(sure: Sequence[NDArray[np.float64]], *, share: float) -> list[NDArray[np.bool_]]:
    """Choose a share of the slices of all scans, none of them empty, the surest first."""
    together = np.concatenate([np.zeros(0), *sure])
    if not together.any():
        raise DatasetError(
            f"the teacher sees no organ on any of {len(together)} unlabelled slices, so there is "
            "nothing to learn from it; train it longer, or look whether the scans are of its kind"
        )
    kept = np.zeros(len(together), np.bool_)
    kept[np.argsort(-together, kind="stable")[: round(share * len(together))]] = True
    kept &= together > 0
    log.info("the teacher's labels of %d of %d slices are learnt", kept.sum(), len(kept))
    return np.split(kept, np.cumsum([len(values) for values in sure])[:-1])
