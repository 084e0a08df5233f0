"""What training minimises, on logits and integer labels.

Lovasz comes from segmentation-models-pytorch; all are computed in float32. Four losses are for
samples on which nobody drew some of the classes: ``known`` says which were annotated, and where
one that was not lies, the label is 0. With everything annotated the marginal loss is the plain one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor
from torch.nn import functional as F

from slicekit.labels import IGNORE_ID


def ce_and_dice(
    logits: Tensor,  # (b, classes, y, x), or of solids (b, classes, z, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
) -> Tensor:
    """Add cross entropy and the mean soft Dice loss over foreground classes.

    A class that is absent from the batch has no Dice term: it could only be 0 / 0. Voxels
    with ``IGNORE_ID`` count in neither term.

    The numbers are those of ``F.cross_entropy`` and of segmentation-models-pytorch's
    ``DiceLoss`` (smooth 1); both terms share one softmax here, which halves their time.

    Reference: Pham et al. (FLARE22), supervised loss; Dice per class, without background.
    """
    scores, target = logits.float().flatten(2).contiguous(), target.flatten(1)
    known = target != IGNORE_ID
    if not bool(known.any()):
        return scores.sum() * 0.0
    logs = F.log_softmax(scores, dim=1)
    shares = logs.exp()
    hot = torch.zeros_like(shares).scatter_(
        1, target.where(known, 0)[:, None], known[:, None].to(shares.dtype)
    )
    both = (shares * hot).sum(dim=(0, 2))
    truth = hot.sum(dim=(0, 2))
    sizes = (shares * known[:, None]).sum(dim=(0, 2)) + truth
    dice = (1 - (both + 1) / (sizes / 2 + 1)) * (truth > 0)
    return F.nll_loss(logs, target, ignore_index=IGNORE_ID) + dice[1:].mean()


class _Annotated(NamedTuple):
    """Labels of which some classes are unknown; n pixels or voxels, whatever their axes."""

    ids: Tensor  # (b, n) 0 for what is passed over
    seen: Tensor  # (b, n) bool: not IGNORE_ID
    organ: Tensor  # (b, n) bool: an annotated class other than background
    alone: Tensor  # (b, classes) bool: annotated, and not background
    unknown: Tensor  # (b, classes) bool: nobody annotated it

    @classmethod
    def of(cls, target: Tensor, known: Tensor) -> _Annotated:
        flat = target.flatten(1)
        seen = flat != IGNORE_ID
        ids, alone = flat.where(seen, 0), known.clone()
        alone[:, 0] = False
        return cls(ids, seen, seen & alone.gather(1, ids), alone, ~known)

    def dice(self, shares: Tensor) -> Tensor:  # of shares (b, classes, n)
        """Average the soft Dice loss over annotated classes, each on the samples that have it."""
        hot = torch.zeros_like(shares).scatter_(
            1, self.ids[:, None], self.organ[:, None].to(shares.dtype)
        )
        areas = (shares * self.seen[:, None]).sum(dim=2)
        parts = (shares * hot).sum(dim=2), hot.sum(dim=2), areas
        both, truth, area = ((part * self.alone).sum(dim=0) for part in parts)
        dice = (1 - (both + 1) / ((area + truth) / 2 + 1)) * (truth > 0)
        return dice.sum() / self.alone.any(dim=0).sum().clamp(min=1)

    def mean(self, loss: Tensor) -> Tensor:  # of loss (b, n)
        """Average over the pixels of which something is known; 0 where there is none."""
        return (loss * self.seen).sum() / self.seen.sum().clamp(min=1)

    def overlap(self, shares: Tensor) -> Tensor:  # of shares (b, classes, n)
        """Return how much of the annotated organs the unannotated classes claim, as a Dice."""
        organ, seen = self.organ[:, None], self.seen[:, None]
        both = (shares * organ).sum(dim=2)
        sizes = (shares * seen).sum(dim=2) + organ.sum(dim=2)
        dice = 2 * both / sizes.clamp(min=1e-6)
        return (dice * self.unknown).sum() / self.unknown.sum().clamp(min=1)


def marginal_ce_and_dice(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
    known: Tensor,  # (b, classes) bool
    *,
    exclusion_weight: float = 0.0,
) -> Tensor:
    """Add cross entropy and Dice, the unannotated classes and background being one class.

    The probability of that merged class is the sum of theirs, so the loss does not change when
    it moves between them, and a pixel labelled 0 does not teach that no unannotated organ is
    there. Background has no Dice term in ``ce_and_dice``, and the merged class has none here.

    Args:
        logits: ``(b, classes, ...)``, background first.
        target: ``(b, ...)`` ids; 0 where neither background nor an unannotated class is ruled out.
        known: ``(b, classes)``: which classes were annotated on each sample; background always.
        exclusion_weight: Weight of ``exclusion``, which then shares the softmax.

    Reference: Shi et al. 2021, marginal loss.
    """
    drawn = _Annotated.of(target, known)
    logs = F.log_softmax(logits.float().flatten(2), dim=1)
    merged = logs.masked_fill(drawn.alone[:, :, None], -torch.inf).logsumexp(dim=1)
    likely = logs.gather(1, drawn.ids[:, None])[:, 0].where(drawn.organ, merged)
    shares = logs.exp()
    loss = drawn.mean(-likely) + drawn.dice(shares)
    return loss + exclusion_weight * drawn.overlap(shares) if exclusion_weight > 0 else loss


def exclusion(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
    known: Tensor,  # (b, classes) bool
) -> Tensor:
    """Measure how far unannotated classes are predicted where an annotated organ lies.

    A pixel holds one organ. For each sample and each of its unannotated classes this is the soft
    Dice of the class with all annotated organs together; 0 where they do not overlap, at most 1.
    With everything annotated it is 0.

    Reference: Shi et al. 2021, exclusion loss in its Dice form.
    """
    shares = logits.float().flatten(2).softmax(dim=1)
    return _Annotated.of(target, known).overlap(shares)


def masked_per_class(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
    known: Tensor,  # (b, classes) bool
) -> Tensor:
    """Add binary cross entropy and Dice of each annotated class against background, one by one.

    The probability of a class is that of a softmax over background and itself, the sigmoid of
    the difference of their logits: a softmax over all classes would tie every class to the
    logits of the unannotated ones. So the gradient of an unannotated class is exactly zero, and
    the most likely class is still the one with the largest logit.

    Binary cross entropy is added up over the classes and averaged over the pixels.
    """
    drawn = _Annotated.of(target, known)
    scores = logits.float().flatten(2)
    odds = scores - scores[:, :1]
    classes = torch.arange(odds.shape[1], device=odds.device)[:, None]
    hot = (drawn.ids[:, None] == classes).to(odds.dtype)
    entropy = F.binary_cross_entropy_with_logits(odds, hot, reduction="none")
    of_known = (entropy * drawn.alone[:, :, None]).sum(dim=1)
    return drawn.mean(of_known) + drawn.dice(odds.sigmoid())


def dice_only(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
    known: Tensor,  # (b, classes) bool
) -> Tensor:
    """Average the soft Dice loss over annotated classes, without cross entropy.

    What is predicted outside of the annotated organs costs nothing, unless it is one of them.

    Reference: Pic and Henon-Just, their loss for partly labelled scans.
    """
    return _Annotated.of(target, known).dice(logits.float().flatten(2).softmax(dim=1))


def hardest_share(step: int, *, start: int, end: int, final: float) -> float:
    """Return the share of pixels that bootstrapped cross entropy keeps at a step.

    All of them until ``start``, then linearly fewer, ``final`` from ``end`` on.

    Reference: STCN training; the published schedule is 20 k to 70 k steps down to 15 %.
    """
    if step < start:
        return 1.0
    passed = min(1.0, (step - start) / max(1, end - start))
    return 1.0 - (1.0 - final) * passed


def bootstrapped_ce(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x)
    *,
    share: float,
) -> Tensor:
    """Average cross entropy over the hardest ``share`` of the known pixels of each sample."""
    loss = F.cross_entropy(logits.float(), target, reduction="none", ignore_index=IGNORE_ID)
    known = target != IGNORE_ID
    if share >= 1:
        return loss.sum() / known.sum().clamp(min=1)
    hardest = [
        one[seen].topk(max(1, int(seen.sum() * share)), sorted=False).values
        for one, seen in zip(loss, known, strict=True)
        if bool(seen.any())
    ]
    return torch.cat(hardest).mean() if hardest else loss.sum()


def lovasz(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x)
) -> Tensor:
    """Return the Lovasz softmax loss over the classes present in the batch."""
    loss: Tensor = LovaszLoss("multiclass", ignore_index=IGNORE_ID)(logits.float(), target)
    return loss.sum()  # already one number, but an empty tensor where nothing is known


def pseudo_labels(
    logits: Tensor,  # (b, classes, y, x)
    *,
    confidence: float = 0.0,
) -> Tensor:  # (b, y, x), detached
    """Take the most likely class of every pixel as its label, without gradient.

    Args:
        logits: ``(b, classes, y, x)`` of the network that teaches.
        confidence: Pixels whose largest probability is below this become ``IGNORE_ID``.
    """
    with torch.no_grad():
        if confidence <= 0:
            return logits.argmax(dim=1)
        best, label = logits.float().softmax(dim=1).max(dim=1)
        return label.masked_fill(best < confidence, IGNORE_ID)
