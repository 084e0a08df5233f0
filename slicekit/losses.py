"""What training minimises, on logits and integer labels.

Lovasz comes from segmentation-models-pytorch; all are computed in float32.
"""

from __future__ import annotations

import torch
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor
from torch.nn import functional as F

from slicekit.labels import IGNORE_ID


def ce_and_dice(
    logits: Tensor,  # (b, classes, y, x)
    target: Tensor,  # (b, y, x) ids, IGNORE_ID where unknown
) -> Tensor:
    """Add cross entropy and the mean soft Dice loss over foreground classes.

    A class that is absent from the batch has no Dice term: it could only be 0 / 0. Voxels
    with ``IGNORE_ID`` count in neither term.

    The numbers are those of ``F.cross_entropy`` and of segmentation-models-pytorch's
    ``DiceLoss`` (smooth 1); both terms share one softmax here, which halves their time.

    Reference: Pham et al. (FLARE22), supervised loss; Dice per class, without background.
    """
    scores = logits.float().contiguous()
    known = target != IGNORE_ID
    if not bool(known.any()):
        return scores.sum() * 0.0
    logs = F.log_softmax(scores, dim=1)
    shares = logs.exp()
    hot = torch.zeros_like(shares).scatter_(
        1, target.where(known, 0)[:, None], known[:, None].to(shares.dtype)
    )
    both = (shares * hot).sum(dim=(0, 2, 3))
    truth = hot.sum(dim=(0, 2, 3))
    sizes = (shares * known[:, None]).sum(dim=(0, 2, 3)) + truth
    dice = (1 - (both + 1) / (sizes / 2 + 1)) * (truth > 0)
    return F.nll_loss(logs, target, ignore_index=IGNORE_ID) + dice[1:].mean()


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
