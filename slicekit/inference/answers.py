"""What a few-shot network says of every slice of a scan, organ by organ.

Reference: Ouyang et al. 2020; the supports beyond an organ's ends, its place in the body and the
neighbour that joins the supports are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from slicekit.errors import LabelError
from slicekit.inference.fewshot_guides import Evidence, GuideSettings, best_run, weigh
from slicekit.inference.shots import FewShot, Sheets
from slicekit.networks import Prototypes
from slicekit.networks.alpnet import SHARPNESS

_SLICES_AT_ONCE = 4
_BLUR_PX = 4.0
"""Standard deviation, in the frame of all bodies, of how far an organ may lie elsewhere."""
_SPREAD = 3.0
"""A place at a third of the highest likelihood counts in full."""
_TIP = 0.5
"""The first and the last slice of an organ that was drawn whole are smaller than this share of its
largest one."""
_LEAST_LIKELY = 0.02
"""A place that is less likely than this is out of the question."""


@dataclass(frozen=True)
class SupportSettings:
    """What of a support is used, and how."""

    shown: int = 5
    """Slices of one organ at most: the largest, and others spread over its extent."""
    beyond: int = 4
    """Slices that do not show it, at most, where it was drawn whole: they tell what else there is
    in a body."""
    whole: bool | None = None
    """Whether the organ was drawn on every slice that shows it. Where ``None``, it was if it is
    drawn without a gap and tapers at both ends, as organs do: a few slices out of its middle do
    not."""
    place: bool = True
    """Whether an organ is looked for only about where it lies in the support's body."""
    join_neighbour: bool = False
    """Whether a slice is also compared with the slice beside it, nearer to the surest one, and
    with what was found there."""
    join_from: float = 0.75
    """Mean probability from which a slice may join the supports."""


def support_slices(
    mask: NDArray[np.bool_], settings: SupportSettings
) -> tuple[list[int], list[int]]:
    """Choose slices of a support that show an organ, and others that surely do not.

    Args:
        mask: ``(z, y, x)``.
        settings: How many.

    Returns:
        Both in rising order. Where only a few slices were drawn, nobody knows about the others, so
        there are none that surely do not show it.

    Raises:
        LabelError: No slice shows the organ.
    """
    areas = mask.sum(axis=(1, 2))
    held = np.flatnonzero(areas)
    if not len(held):
        raise LabelError("no slice of the support shows the organ; choose another support")
    shown = {int(areas.argmax())}
    if settings.shown >= len(held):
        shown = {int(z) for z in held}
    elif settings.shown > 1:
        count = settings.shown - 1
        shown |= {int(held[int((n + 0.5) * len(held) / count)]) for n in range(count)}
    beyond: list[int] = []
    if settings.whole if settings.whole is not None else _is_whole(areas):
        free = np.flatnonzero(areas == 0)
        count = min(settings.beyond, len(free))
        beyond = [int(free[int((n + 0.5) * len(free) / count)]) for n in range(count)]
    return sorted(shown), beyond


def _is_whole(areas: NDArray[np.intp]) -> bool:
    """Tell from the areas of all slices whether an organ was drawn from end to end."""
    held = np.flatnonzero(areas)
    if len(held) < 3 or len(held) < held[-1] - held[0] + 1:
        return False
    # at the end of a scan an organ may be cut off; a tip is small beside the largest slice
    ends = [int(areas[z]) for z in (held[0], held[-1]) if 0 < z < len(areas) - 1]
    return all(area < _TIP * int(areas.max()) for area in ends)


@dataclass(frozen=True, eq=False)
class Shown:
    """One organ of a support, and how it looks to the network."""

    known: Prototypes
    slices: tuple[int, ...]
    """Of the support, that show it."""
    place: Tensor
    """``(y, x)`` of the query's grid: logarithm of how likely the organ lies there, 0 at most."""
    middle: float
    """Where its middle is along the support scan, as a share of its length."""


@torch.inference_mode()
def learn(
    model: FewShot,
    support: Sheets,
    mask: NDArray[np.bool_],
    query: Sheets,
    settings: SupportSettings,
    *,
    seen: dict[int, Tensor] | None = None,
) -> Shown:
    """Look at one organ of a support.

    Args:
        model: The few-shot model.
        support: The scan on which it was drawn.
        mask: ``(z, y, x)`` on that scan's own grid.
        query: The scan in which it is to be found.
        settings: What of the support is used.
        seen: Features of its slices that are known from other organs; more are put in.

    Raises:
        LabelError: No slice shows the organ.
    """
    shown, beyond = support_slices(mask, settings)
    zs, known_features = sorted([*shown, *beyond]), {} if seen is None else seen
    for some, part in encoded(model, support, [z for z in zs if z not in known_features]):
        known_features.update(zip(some, part, strict=True))
    features = torch.stack([known_features[z] for z in zs])
    masks = torch.stack([support.mask(mask[z]) for z in zs])[None, :, None]
    known = model.network.prototypes(features[None], masks.to(features.device))
    kept = known.used.any(dim=1)[0]
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    return Shown(
        Prototypes(known.vectors[:, kept], known.used[:, :, kept]),
        tuple(shown),
        _place(support, np.logical_or.reduce(mask[held]), query, settings).to(features.device),
        float(held.mean()) / max(1, len(mask) - 1),
    )


def encoded(
    model: FewShot, sheets: Sheets, zs: Sequence[int], told: Callable[[int], None] = lambda n: None
) -> list[tuple[list[int], Tensor]]:
    """Return features of slices in small batches: slice numbers and ``(n, c, h, w)`` float32."""
    found = []
    for start in range(0, len(zs), _SLICES_AT_ONCE):
        some = list(zs[start : start + _SLICES_AT_ONCE])
        slices = model.runtime.put(sheets.windows(some))
        with torch.inference_mode(), model.runtime.autocast():
            found.append((some, model.network.encode(slices).float()))
        told(start + len(some))
    return found


def _place(
    support: Sheets, union: NDArray[np.bool_], query: Sheets, settings: SupportSettings
) -> Tensor:
    """Return the logarithm of how likely an organ lies at ``(y, x)`` of the query's grid."""
    if not settings.place:
        return torch.zeros(query.grid.model_size)
    near = ndimage.gaussian_filter(support.to_frame(union), _BLUR_PX)
    near = np.clip(_SPREAD * near / max(float(near.max()), 1e-6), 0.0, 1.0)
    likely = query.from_frame(near.astype(np.float32), outside=0.0).clamp(0, 1)
    return torch.where(likely < _LEAST_LIKELY, 0.0, likely).log()


@dataclass(eq=False)
class Answers:
    """What the network says of one organ on every slice of a query.

    Held are logits at the size of the features: 8 KB a slice of 256 x 256 pixels.
    """

    model: FewShot
    query: Sheets
    shown: Shown
    guide_settings: GuideSettings
    logits: dict[int, Tensor] = field(default_factory=dict)
    """Slice to ``(1, 2, h, w)``."""

    def look(self, z: int, features: Tensor, extra: Prototypes | None = None) -> None:
        """Compare one slice, ``(1, c, h, w)``, with the supports and perhaps another."""
        known = self.shown.known
        if extra is not None:
            known = Prototypes(
                torch.cat([known.vectors, extra.vectors], dim=1),
                torch.cat([known.used, extra.used], dim=2),
            )
        with torch.inference_mode():
            self.logits[z] = self.model.network.compare(known, features)

    def fine(self, z: int) -> tuple[Tensor, Tensor]:
        """Return a slice's probability and cosine margin, ``(y, x)`` on the network's grid."""
        y, x = self.query.grid.model_size
        with torch.inference_mode():
            logits = self.model.network.draw(self.logits[z], torch.empty(1, 1, y, x))[0]
            apart = logits[1] - logits[0]
            return torch.sigmoid(apart + self.shown.place), apart / SHARPNESS

    def judged(self) -> list[Evidence]:
        """Judge every slice that was looked at, in rising order."""
        before, found = None, []
        last = max(1, self.query.image.shape[0] - 1)
        for z in sorted(self.logits):
            probability, margin = (plane.cpu().numpy() for plane in self.fine(z))
            one, before = weigh(
                z, probability, margin, before,
                pixel_mm=self.query.recipe.spacing_mm,
                expected=z / last - self.shown.middle,
                settings=self.guide_settings,
            )  # fmt: skip
            found.append(one)
        return found

    def walk(self, run: Sequence[Evidence], settings: SupportSettings) -> None:
        """Look again, from the surest slice outwards: each slice joins the supports of the next.

        A walk ends where nothing is found, or where it is not sure enough.
        """
        start = max(run, key=lambda one: one.score).z
        for step in (1, -1):
            z = start
            while 0 <= z + step < self.query.image.shape[0]:
                extra = self._as_support(z, settings)
                if extra is None:
                    break
                z += step
                ((_, features),) = encoded(self.model, self.query, [z])
                self.look(z, features, extra)

    def _as_support(self, z: int, settings: SupportSettings) -> Prototypes | None:
        """Return a slice with what was found on it as a support, where it is sure enough."""
        probability, _ = self.fine(z)
        inside = probability > 0.5
        if not inside.any() or float(probability[inside].mean()) < settings.join_from:
            return None
        ((_, features),) = encoded(self.model, self.query, [z])
        with torch.inference_mode():
            return self.model.network.prototypes(features[None], inside[None, None, None].float())


def ask(
    model: FewShot,
    query: Sheets,
    organs: Sequence[Shown],
    *,
    settings: SupportSettings,
    guide_settings: GuideSettings,
    told: Callable[[int], None] = lambda done: None,
) -> list[tuple[Answers, list[Evidence]]]:
    """Look for organs on every slice of a query.

    Returns:
        Of every organ what was said, and the run of slices that can be trusted together.
    """
    answers = [Answers(model, query, shown, guide_settings) for shown in organs]
    depth = query.image.shape[0]
    for start in range(0, depth, _SLICES_AT_ONCE):
        zs = range(start, min(depth, start + _SLICES_AT_ONCE))
        for some, features in encoded(model, query, zs):
            for one in answers:
                for n, z in enumerate(some):
                    one.look(z, features[n : n + 1])
        told(zs.stop)
    found = []
    for one in answers:
        run = best_run(one.judged())
        if run and settings.join_neighbour:
            one.walk(run, settings)
            run = best_run(one.judged())
        found.append((one, run))
    return found
