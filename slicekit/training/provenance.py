"""Which scans a run learns from, told by what they hold, so that it goes on with no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from slicekit.data.slices import CachedScan
from slicekit.errors import CheckpointError

Provenance = Mapping[str, Sequence[Sequence[str]]]
"""Group to ``[name, digest]`` of each of its scans, in the order in which they are drawn from."""

_NAMED = 5


def provenance(groups: Mapping[str, Sequence[CachedScan]]) -> Provenance:
    """Tell of which scans the groups of a run consist, ready for JSON.

    Args:
        groups: What scans are for to the scans.
    """
    return {
        group: [[scan.name, _digest(scan)] for scan in scans] for group, scans in groups.items()
    }


def _digest(scan: CachedScan) -> str:
    """Sum up the slices, the labels and what was annotated; a second for a GiB of labels."""
    known = None if scan.known_ids is None else sorted(scan.known_ids)
    facts = f"{scan.digest} {scan.slices.shape} {scan.step_mm:.6g} {known}"
    summed = blake2b(facts.encode(), digest_size=8)
    if scan.labels is not None:
        summed.update(np.ascontiguousarray(scan.labels).data)
    return summed.hexdigest()


def expect_same_scans(before: Provenance | None, now: Provenance | None, *, path: Path) -> None:
    """Refuse to go on with other scans than a run began with; an old state names none.

    Args:
        before: Of the state.
        now: Of the run that is to go on.
        path: The state.

    Raises:
        CheckpointError: Scans came, went or changed, or come in another order; the message
            names them.
    """
    if before is None or now is None:
        return
    told = [
        f"{group}: {said}"
        for group in [*before, *(group for group in now if group not in before)]
        if (said := _difference(before.get(group, ()), now.get(group, ())))
    ]
    if told:
        raise CheckpointError(
            f"{path}: the run began with other scans; put them back as they were, or choose "
            f"another --out: " + "; ".join(told)
        )


def _difference(before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> str:
    """Say how two groups differ; empty where they do not."""
    old, new = ([(name, digest) for name, digest in group] for group in (before, now))
    if old == new:
        return ""
    lost = [name for name, digest in old if (name, digest) not in new]
    come = [name for name, digest in new if (name, digest) not in old]
    kinds = {
        "added": [name for name in come if name not in lost],
        "gone": [name for name in lost if name not in come],
        "changed": [name for name in lost if name in come],
    }
    said = [f"{_list(names)} {kind}" for kind, names in kinds.items() if names]
    return ", ".join(said) or "in another order, or another number of times"


def _list(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return " ".join(map(repr, names[:_NAMED])) + rest
