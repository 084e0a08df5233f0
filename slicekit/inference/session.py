"""A session: a person draws a few slices, the organ comes out, and the next slice is suggested.

Reference: Cheng et al. 2021 (MiVOS), interaction and propagation kept apart; the memo by gaps,
the ends that are drawn empty and the suggestions are ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicekit import checks
from slicekit.data.intensity import as_expected
from slicekit.errors import DataWarning, LabelError, ShapeError
from slicekit.inference.canvas import Canvas
from slicekit.inference.frames import follower_of
from slicekit.inference.interpolate import Outline, interpolate
from slicekit.inference.memo import Memo
from slicekit.inference.model import Carrier
from slicekit.inference.organ_track import GapKey, OrganTrack
from slicekit.inference.painting import clear_stale, show
from slicekit.inference.session_file import (
    SavedSession,
    expect_same_scan,
    read_session,
    write_session,
)
from slicekit.inference.stretch import Followed, Task
from slicekit.inference.suggest import Suggestion, suggest
from slicekit.labels import LabelSet
from slicekit.volume import Volume, along

Axis = Literal["z", "y", "x"]
Progress = Callable[[int, int], None]
"""Told the gaps done and the gaps in all."""


class CarriedGap(NamedTuple):
    """A gap that was carried and is shown."""

    organ: str
    slices: range
    done: int
    """Gaps that are done, with this one."""
    total: int


class Session:
    """Guides of a scan and what follows from them.

    A correction walks the gaps beside it; others are remembered as far as the budget reaches.
    Memory beside the scan: two bytes a voxel (three above 255 organs, four more where intensities
    have to be stretched), a byte a pixel of every guide that shows an organ, and both budgets,
    however many organs there are. ``labels`` that are kept over a later ``propagate`` are copied.

    Args:
        scan: What is to be segmented.
        carrier: From ``load_propagator``; shapes are interpolated where it is ``None``.
        axis: Slices are taken along this axis of the scan: axial, coronal or sagittal.
        z_range: First slice, and the one behind the last, that may be answered; all for ``None``.
        names: Organs and their ids; without it organs are numbered as they come.
        budget_bytes: For what is being walked.
        memo_bytes: For what was walked, lest a correction that is taken back computes anything.

    Raises:
        ShapeError: The scan has a single slice along the axis, or ``z_range`` lies outside.

    Example:
        >>> from slicekit.data.phantom import make_phantom
        >>> made = make_phantom(np.random.default_rng(0), shape=(24, 48, 64))
        >>> liver = made.labels.array == 6
        >>> first, *_, last = np.flatnonzero(liver.any(axis=(1, 2)))
        >>> session = Session(made.image)
        >>> for z in (first, last):
        ...     session.add_guide(z, liver[z], organ="liver")
        >>> labels = session.propagate()
        >>> bool((labels.array == 1)[first + 1].any())
        True
    """

    def __init__(
        self,
        scan: Volume,
        carrier: Carrier | None = None,
        *,
        axis: Axis = "z",
        z_range: tuple[int, int] | None = None,
        names: LabelSet | None = None,
        budget_bytes: int = 128 << 20,
        memo_bytes: int = 256 << 20,
    ) -> None:
        self.scan, self.carrier, self.axis = scan, carrier, axis
        view = along(scan, axis)
        depth = view.shape[0]
        if depth < 2:
            raise ShapeError(
                f"the scan has a single slice along {axis}, so there is nowhere to carry a mask; "
                "choose another axis"
            )
        first, end = (0, depth) if z_range is None else z_range
        self.z_range = (int(first), int(end))
        if not 0 <= self.z_range[0] < self.z_range[1] <= depth:
            raise ShapeError(
                f"z_range must lie within 0 to {depth}, the first below the second, got {z_range}"
            )
        self._view, self._given = view, names
        self._ids: dict[str, int] = {}
        self._empty = np.zeros(view.shape[1:], bool)
        self._unfinished: set[int] = set()
        self._tracks: dict[str, OrganTrack] = {}
        self._canvas = Canvas(view.shape)
        self._memo: Memo[Followed | Outline] = Memo(budget_bytes=memo_bytes)
        self.follower = (
            None
            if carrier is None
            else follower_of(
                along(as_expected(scan, carrier.recipe.input), axis),
                carrier,
                budget_bytes=budget_bytes,
            )
        )

    def add_guide(self, z: int, mask: NDArray[Any], *, organ: str = "organ") -> None:
        """Say where an organ is in a slice; a mask that is there already is replaced.

        Args:
            z: The slice, counted along the session's axis.
            mask: ``(y, x)`` of the slice, non-zero on the organ. An empty mask says that the
                organ is not there: it ends before.
            organ: Its name.

        Raises:
            ShapeError: The mask has another size, or the slice does not exist.
            LabelError: The name is unknown, or the mask overlaps that of another organ.
        """
        first, end = self.z_range
        if not (isinstance(z, int | np.integer) and first <= z < end):
            raise ShapeError(
                f"there is no slice {z} to draw on; slices go from {first} to {end - 1}"
            )
        _, rows, columns = self._view.shape
        checks.expect_shape(f"the mask of slice {z}", np.asarray(mask), f"{rows} {columns}")
        inside = (np.asarray(mask) != 0) & (np.asarray(mask) == np.asarray(mask))  # NaN is outside
        inside = inside if inside.any() else self._empty
        self._expect_apart(int(z), inside, organ)
        if organ not in self._tracks:
            self._tracks[organ] = OrganTrack(self._number(organ), self._view.shape[0])
        self._tracks[organ].guides[int(z)] = inside

    def remove_guide(self, z: int, *, organ: str | None = None) -> None:
        """Forget what was drawn in a slice, of one organ or of all.

        Raises:
            LabelError: Nothing is drawn there.
        """
        owners = [name for name in self._tracks if organ in (None, name)]
        held = [name for name in owners if z in self._tracks[name].guides]
        if not held:
            drawn = sorted({n for name in owners for n in self._tracks[name].guides})
            raise LabelError(
                f"nothing of {organ or 'any organ'} is drawn on slice {z}, but on {drawn}"
            )
        for name in held:
            del self._tracks[name].guides[z]

    @property
    def guides(self) -> Mapping[str, Mapping[int, NDArray[np.bool_]]]:
        """Organ to slice to drawn mask ``(y, x)``."""
        tracks = {name: MappingProxyType(track.guides) for name, track in self._tracks.items()}
        return MappingProxyType(tracks)

    @property
    def names(self) -> LabelSet:
        """The organs and their ids."""
        return LabelSet(self._ids) if self._given is None else self._given

    @property
    def labels(self) -> Volume:
        """``(z, y, x)`` ids on the scan's grid, read-only, as the last ``propagate`` left them."""
        moved = np.moveaxis(self._canvas.labels, 0, "zyx".index(self.axis))
        return self.scan.with_array(np.ascontiguousarray(moved))

    @property
    def provenance(self) -> dict[str, NDArray[np.uint8]]:
        """Organ to ``(slices,)`` numbers of ``Provenance``."""
        return {name: track.provenance.copy() for name, track in self._tracks.items()}

    @property
    def doubt(self) -> dict[str, NDArray[np.float32]]:
        """Organ to ``(slices,)`` doubt, 0 to 1; 0 where it was drawn or nothing is there."""
        return {name: track.doubt.copy() for name, track in self._tracks.items()}

    def propagate(self, progress: Progress | None = None) -> Volume:
        """Carry the guides through the scan.

        What was carried before and has not changed is not computed again. When the call is
        interrupted, ``labels`` holds what was carried until then, and another call goes on.

        Args:
            progress: Told the gaps done and the gaps in all.

        Returns:
            ``labels``.

        Raises:
            LabelError: Nothing is drawn yet.
            BudgetError: The budget is too small for one guide.
        """
        for gap in self.carry():
            if progress is not None:
                progress(gap.done, gap.total)
        return self.labels

    def carry(self) -> Iterator[CarriedGap]:
        """Carry the guides gap by gap: what ``propagate`` does, with a look in between.

        Yields:
            Every gap that had to be shown anew, in no fixed order. ``mask_of`` shows it; where
            organs overlap, one that is carried later may still take its voxels.

        Raises:
            LabelError: Nothing is drawn yet.
            BudgetError: The budget is too small for one guide.
        """
        wanted = {
            name: track.tasks(self.z_range, by_shape=self.follower is None)
            for name, track in self._tracks.items()
        }
        stale = clear_stale(
            self._canvas, self._tracks, wanted, z_range=self.z_range, unfinished=self._unfinished
        )
        self._unfinished = stale
        if not any(wanted.values()):
            raise LabelError(
                "nothing is drawn yet, so there is nothing to carry; draw at least one slice of an "
                "organ - add_guide(z, mask, organ=...)"
            )
        todo = [
            (name, key, task)
            for name, tasks in wanted.items()
            for key, task in tasks.items()
            if key not in self._tracks[name].shown
        ]
        for name, tasks in wanted.items():
            if tasks and not any(task.gap.slices for task in tasks.values()):
                warnings.warn(f"{name}: every slice is drawn, nothing is left to carry",
                              DataWarning, stacklevel=3)  # fmt: skip
        for done, (name, key, pieces) in enumerate(self._answers(todo), start=1):
            show(self._canvas, self._tracks[name], key, pieces, stale)
            yield CarriedGap(name, wanted[name][key].gap.slices, done, len(todo))
        self._unfinished = set()

    def mask_of(self, z: int, *, organ: str) -> NDArray[np.bool_]:
        """Return where an organ is in a slice by now, ``(y, x)`` along the session's axis.

        Raises:
            LabelError: The organ was never drawn.
        """
        if organ not in self._tracks:
            raise LabelError(f"{organ!r} was never drawn; {checks.suggest(organ, self._tracks)}")
        return self._canvas.shows(z, self._tracks[organ].number)

    def suggest(self, count: int = 1) -> tuple[Suggestion, ...]:
        """Say which slices to draw next, the most useful first, and why.

        Returns:
            At most ``count``; fewer where nothing is doubtful. Call ``propagate`` before.
        """
        tracks = {n: track for n, track in self._tracks.items() if track.shown and track.guides}
        return suggest(
            {name: track.doubt for name, track in tracks.items()},
            {name: track.area for name, track in tracks.items()},
            {name: track.guides for name, track in tracks.items()},
            slice_mm=self._view.spacing_mm[0],
            count=count,
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write guides and labels into one file; the scan itself stays where it is.

        Raises:
            WriteError: It cannot be written whole, or something is in the way.
        """
        saved = SavedSession(
            self.axis, self.z_range, self.names.ids, self._given is not None, self.guides,
            self._canvas.labels, self.scan.affine, self.scan.shape,
            None if self.carrier is None else self.carrier.sha256,
        )  # fmt: skip
        return write_session(path, saved, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | Path,
        scan: Volume,
        carrier: Carrier | None = None,
        *,
        budget_bytes: int = 128 << 20,
        memo_bytes: int = 256 << 20,
    ) -> Session:
        """Go on with a session that was saved.

        Labels are those that were saved; the next ``propagate`` carries everything anew, and tells
        provenance and doubt again.

        Raises:
            ReadError: It is no saved session, or damaged.
            GeometryError: It was drawn on another scan.
        """
        saved = read_session(path)
        expect_same_scan(saved, path=path, shape=scan.shape, affine=scan.affine)
        if (None if carrier is None else carrier.sha256) != saved.model:
            warnings.warn(f"{path}: was carried by other weights; a new propagation may differ",
                          DataWarning, stacklevel=2)  # fmt: skip
        axis: Any = saved.axis
        names = LabelSet(saved.names)
        session = cls(
            scan, carrier, axis=axis, z_range=saved.z_range, names=names,
            budget_bytes=budget_bytes, memo_bytes=memo_bytes,
        )  # fmt: skip
        for organ, masks in saved.guides.items():
            for z, mask in masks.items():
                session.add_guide(z, mask, organ=organ)
        session._ids = dict(saved.names)
        session._given = names if saved.named else None
        session._canvas.put_back(saved.labels)
        return session

    def _number(self, organ: str) -> int:
        if self._given is None:
            if not organ.strip():
                raise LabelError("an organ needs a name, got an empty one")
            return self._ids.setdefault(organ, max(self._ids.values(), default=0) + 1)
        if organ not in self._given.ids:
            raise LabelError(f"unknown organ {organ!r}; {checks.suggest(organ, self._given.names)}")
        return self._given.ids[organ]

    def _expect_apart(self, z: int, mask: NDArray[np.bool_], organ: str) -> None:
        if not mask.any():
            return
        for name, track in self._tracks.items():
            both = (
                0 if name == organ or z not in track.guides else int((track.guides[z] & mask).sum())
            )
            if both:
                raise LabelError(
                    f"on slice {z} the mask of {organ!r} overlaps that of {name!r} by {both} "
                    "pixels; draw them apart, or follow each in a session of its own"
                )

    def _answers(
        self, todo: Sequence[tuple[str, GapKey, Task]]
    ) -> Iterator[tuple[str, GapKey, Sequence[Followed | Outline]]]:
        """Yield the answer of every gap: those in the memo, then those that must be walked."""
        missing = []
        for name, key, task in todo:
            if (known := self._memo.get((name, key))) is None:
                missing.append((name, key, task))
            else:
                yield name, key, known
        for n, pieces in self._compute([task for _, _, task in missing]):
            name, key, _ = missing[n]
            self._memo.put((name, key), pieces)
            yield name, key, pieces

    def _compute(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Sequence[Followed | Outline]]]:
        if self.follower is not None:
            yield from self.follower.follow(tasks)
            return
        for n, task in enumerate(tasks):
            yield n, list(interpolate(task, spacing_mm=self._view.spacing_mm))
