"""How unsure a committee is: one number a pixel, and a few an organ."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from slicekit.checks import expect_shape
from slicekit.inference.doubt import most_to_quarrel_about


@dataclass(frozen=True)
class OrganCertainty:
    """How far networks agree on an organ of one scan; ``None`` where nothing can be said."""

    agreement: float | None
    """Mean Dice, over the pairs of networks, of what each alone says in the whole scan; ``None``
    for one network, and where no network sees the organ."""
    certainty: float | None
    """1 less the mean uncertainty inside the final labels; ``None`` where there are none."""
    agreement_with_reference: float | None
    """Dice of the final labels and the vote of the reference's networks; ``None`` where guides
    were not carried, so that both are one, and where neither has the organ."""


def uncertainty(
    probabilities: Tensor,  # (members, classes, y, x)
) -> Tensor:  # (y, x)
    """Join what a committee doubts and what it quarrels about into one number a pixel.

    With the entropy H of the members' mean and their mutual information I (H less the mean of
    the members' own entropies, called BALD), each over its largest possible value::

        u = 1 - (1 - H / log(classes)) * (1 - I / log(min(members, classes)))

    It is 0 where all members are certain of one class, 1 where they share out evenly what each is
    certain of or where all classes are equally likely, and never less than either part: a
    toss-up between two of 14 classes that all members share is 0.26, the same toss-up
    because two members contradict one another is 1. One network alone has no I.

    Args:
        probabilities: ``(members, classes, y, x)`` softmax of every member, background first.

    Returns:
        ``(y, x)`` float32 in ``[0, 1]``.

    Raises:
        ShapeError: There are other axes, no member, or fewer than two classes.

    Example:
        >>> sure, unsure = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
        >>> uncertainty(torch.stack([sure, sure.flip(0)]).view(2, 2, 1, 1)).item()
        1.0
        >>> uncertainty(torch.stack([sure, unsure, sure], dim=1).view(1, 2, 1, 3)).tolist()
        [[0.0, 1.0, 0.0]]

    Reference: Houlsby et al. 2011, equation 2, for I; Lakshminarayanan et al. 2017 for the
    committee. The product, a probabilistic OR of both parts, is ours.
    """
    sizes = expect_shape("probabilities", probabilities, "members classes y x")
    members, classes = sizes["members"], sizes["classes"]
    if members < 1 or classes < 2:
        expect_shape("probabilities", probabilities, "1 2 y x")  # tells what is wanted at least
    shares = probabilities.float()
    entropy = torch.special.entr(shares.mean(dim=0)).sum(dim=0)
    sure = 1 - entropy / log(classes)
    if members > 1:  # spares the time for one
        alone = torch.special.entr(shares).sum(dim=1).mean(dim=0)
        apart = (entropy - alone).clamp(min=0)
        sure = sure * (1 - apart / most_to_quarrel_about(members, classes))
    unsure: Tensor = 1 - sure
    return unsure.clamp(0, 1)
