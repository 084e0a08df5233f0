"""From drawings to answers: a session that is kept, told only what has changed, and can be stopped.

It is imported when the first drawing is carried, for it needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from slicekit.data.region import Region
from slicekit.inference.follow import Follower
from slicekit.inference.model import Carrier
from slicekit.inference.session import CarriedGap, Session
from slicekit.inference.stretch import Followed, Planes, Task
from slicekit.labels import LabelSet
from slicekit.review.anchors import Guides
from slicekit.review.doubtful import NextSlice
from slicekit.review.sheet import Answer, Origin, Piece
from slicekit.volume import Volume

Told = Callable[[int, int], None]
"""Told the slices looked at and those in all; what it raises stops the work."""
Shown = Callable[[Piece], None]
"""Gets every slice of a gap once the gap is finished."""

_ONE_GAP = 2  # walks: there and back


@dataclass
class Watch:
    """Counts the slices that a follower looks at."""

    told: Told = field(default=lambda done, total: None)
    done: int = 0
    total: int = 0

    def start(self, told: Told) -> None:
        """Begin to count anew."""
        self.told, self.done, self.total = told, 0, 0

    def expect(self, slices: int) -> None:
        """Say how many slices are to come."""
        self.total += slices

    def look(self, slices: int) -> None:
        """Count slices that are looked at; some are looked at twice."""
        self.done = min(self.total, self.done + slices)
        self.told(self.done, self.total)


@dataclass(frozen=True)
class WatchedFollower(Follower):
    """A follower that says how far it is before each slice, and so can be stopped there."""

    watch: Watch = field(default_factory=Watch)

    def follow(self, tasks: Sequence[Task]) -> Iterator[tuple[int, list[Followed]]]:
        """Follow every object through its gap; see ``Follower``."""
        self.watch.expect(sum(len(task.gap.slices) for task in tasks))
        yield from super().follow(tasks)


class Courier:
    """Carries drawings through one scan and remembers what did not change.

    Args:
        scan: The scan.
        names: Organs and their ids.
        carrier: A propagator; shapes are interpolated where it is ``None``.
    """

    def __init__(self, scan: Volume, names: LabelSet, carrier: Carrier | None) -> None:
        self.names, self.carrier = names, carrier
        self._session = Session(scan, carrier, names=names)
        self._watch = Watch()
        if self._session.follower is not None:
            self._session.follower = _watched(self._session.follower, self._watch)

    def carry(
        self,
        guides: Guides,
        *,
        given: set[tuple[str, int]],
        told: Told,
        shown: Shown = lambda piece: None,
    ) -> Answer:
        """Carry guides through the scan; only gaps whose ends have changed are walked.

        Args:
            guides: Organ to slice to mask ``(y, x)``.
            given: Organ and slice of the guides that nobody drew.
            told: Told how far it is.
            shown: Gets what is finished, gap by gap; where organs overlap, the answer in the end
                may differ by a few voxels.

        Raises:
            StoppedError: ``told`` raised it; another call goes on where this one stopped.
        """
        session, ids = self._session, self.names.ids
        _tell(session, guides)
        self._watch.start(told)
        for gap in session.carry() if guides else ():
            self._show(gap, shown)
            if session.follower is None:
                told(gap.done, gap.total)
        origin, doubt = session.provenance, session.doubt
        for name, z in given:
            there = bool(guides[name][z].any())
            origin[name][z] = Origin.GIVEN if there else Origin.UNSEEN
        labels = session.labels.array if guides else np.zeros_like(session.labels.array)
        return Answer(
            labels,
            {ids[name]: origin[name] for name in guides},
            {ids[name]: doubt[name] for name in guides},
        )

    def _show(self, gap: CarriedGap, shown: Shown) -> None:
        """Show a gap that is finished, slice by slice, for whole gaps may be large."""
        name, number = gap.organ, self.names.ids[gap.organ]
        origin, doubt = self._session.provenance[name], self._session.doubt[name]
        for z in gap.slices:
            mask = self._session.mask_of(z, organ=name)
            shown(Piece(number, z, mask, int(origin[z]), float(doubt[z])))

    def suggest(self, count: int) -> tuple[NextSlice, ...]:
        """Say which slices to draw next, the most useful first."""
        return tuple(
            NextSlice(one.z, one.organs, one.reason) for one in self._session.suggest(count)
        )


def _tell(session: Session, guides: Guides) -> None:
    """Make a session's guides these ones; what overlaps no more is taken out first."""
    for name, masks in session.guides.items():
        wanted = guides.get(name, {})
        for z, mask in list(masks.items()):
            if z not in wanted or not np.array_equal(wanted[z], mask):
                session.remove_guide(z, organ=name)
    for name, wanted in guides.items():
        known = session.guides.get(name, {})
        for z in [z for z in wanted if z not in known]:
            session.add_guide(z, wanted[z], organ=name)


def _watched(follower: Follower, watch: Watch) -> WatchedFollower:
    """Return a follower that tells before it looks at slices.

    On a CPU it finishes one gap before it begins another, which takes no longer there.
    """
    look: Planes = follower.planes

    def planes(zs: Sequence[int], region: Region) -> object:
        watch.look(len(zs))
        return look(zs, region)

    known = {one.name: getattr(follower, one.name) for one in fields(follower)}
    if follower.runtime.device.type == "cpu":
        known["settings"] = replace(follower.settings, walks_at_once=_ONE_GAP)
    return WatchedFollower(**{**known, "planes": planes}, watch=watch)
