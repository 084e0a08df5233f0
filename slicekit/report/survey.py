"""A look at many scans, a few slices each, to see where a reference is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from slicekit.data.annotations import FILE_NAME
from slicekit.data.cases import Case
from slicekit.data.intensity import as_expected
from slicekit.data.scale import with_likely_spacing
from slicekit.errors import DatasetError, SlicekitError, lacks_memory
from slicekit.inference.doubt import SliceDoubt, summarise_slice
from slicekit.inference.model import Model
from slicekit.inference.view import View, sample_slices
from slicekit.io import read_volume, stored_slice


@dataclass(frozen=True)
class Survey:
    """What was seen of all scans; a few numbers a slice and organ."""

    doubts: tuple[SliceDoubt, ...]
    """Summaries of all slices that were looked at."""
    stored: Mapping[tuple[str, int], int]
    """Case and slice to the slice's number as its file counts."""
    known: frozenset[tuple[str, int]]
    """Case and slice of what is annotated already."""
    failures: Mapping[str, str]
    """Cases that could not be looked at, with the reason."""

    def of(self, case: str, z: int | None = None) -> tuple[SliceDoubt, ...]:
        """Return the summaries of one slice, or of all slices of a scan."""
        return tuple(one for one in self.doubts if one.case == case and z in (None, one.z))


def survey(
    cases: Sequence[Case],
    model: Model,
    *,
    every_mm: float,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Look at evenly spaced slices of every scan, and at those that are annotated already.

    One scan lies in memory at a time. A scan that cannot be read is passed over.

    Args:
        cases: At least one.
        model: A reference; its members are asked one by one.
        every_mm: Distance between the slices of a scan.
        told: Told the scans done and the scans in all.

    Raises:
        SlicekitError: No scan could be looked at; the error of the first.
    """
    seen: list[tuple[SliceDoubt, ...]] = []
    stored: dict[tuple[str, int], int] = {}
    known: set[tuple[str, int]] = set()
    faults: dict[str, Exception] = {}
    for done, case in enumerate(cases, start=1):
        try:
            view = open_case(case, model)
            drawn = _drawn_slices(case, view)
            zs = sorted({*sample_slices(view.image, every_mm=every_mm), *drawn})
            seen.append(tuple(_look(case, view, zs)))
        except Exception as fault:  # the other scans go on, unless slicekit itself is at fault
            if not (isinstance(fault, SlicekitError) or lacks_memory(fault)):
                raise
            faults[case.name] = fault
        else:
            known |= {(case.name, z) for z in drawn}
            stored |= {(case.name, z): stored_slice(view.image, z) for z in zs}
        told(done, len(cases))
    if len(faults) == len(cases):
        raise next(iter(faults.values()))
    failures = {name: str(fault) for name, fault in faults.items()}
    return Survey(tuple(chain.from_iterable(seen)), stored, frozenset(known), failures)


def open_case(case: Case, model: Model) -> View:
    """Read a scan as a model sees it.

    Raises:
        ReadError: It cannot be read.

    Warns:
        DataWarning: Its unit or its spacing is doubtful.
    """
    name = str(case.image)
    image = as_expected(read_volume(case.image), model.recipe.input, name=name)
    return View.of(with_likely_spacing(image, model.recipe.input, name=name), model)


def _look(case: Case, view: View, zs: Sequence[int]) -> list[SliceDoubt]:
    """Summarise some slices of a scan."""
    return [
        summarise_slice(
            members.cpu().numpy(),
            names=view.model.recipe.labels,
            case=case.name,
            z=z,
            z_mm=z * view.image.spacing_mm[0],
        )
        for z, members in view.ask(zs)
    ]


def _drawn_slices(case: Case, view: View) -> frozenset[int]:
    """Return the slices that somebody annotated, counted as in ``Volume.array``."""
    count = view.image.shape[0]
    outside = [z for z in case.annotated_slices or () if z >= count]
    if outside:
        raise DatasetError(
            f"{case.image}: its slices go from 0 to {count - 1}, but the annotated_slices of "
            f"{case.name} in {FILE_NAME} name {outside[0]}; count them as the file does"
        )
    return frozenset(stored_slice(view.image, z) for z in case.annotated_slices or ())
