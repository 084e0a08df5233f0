"""What was measured of a case as a file, so that other rules need no new prediction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slicekit.io.atomic import write_text
from slicekit.training.pseudo.facts import OrganFacts

_KIND = "slicekit facts 1"
_SHAPE = TypeAdapter(dict[str, OrganFacts])


def write_facts(path: Path, facts: Mapping[str, OrganFacts], *, made_by: str) -> None:
    """Write the facts of one case as JSON, whole or not at all.

    Args:
        path: The file; replaced where it is there.
        facts: Organ to facts.
        made_by: What decided them: scan, weights, measurements. Another one makes them stale.

    Raises:
        WriteError: It cannot be written.
    """
    organs = {
        name: asdict(one) | {"touches_border": sorted(one.touches_border)}
        for name, one in facts.items()
    }
    text = json.dumps({"kind": _KIND, "made_by": made_by, "organs": organs}, indent=2) + "\n"
    write_text(path, text)


def read_facts(path: Path, *, made_by: str) -> dict[str, OrganFacts] | None:
    """Read the facts of one case.

    Returns:
        Organ to facts; ``None`` where the file is missing, damaged or of something else, so that
        they are measured anew.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content["kind"] != _KIND or content["made_by"] != made_by:
            return None
        return _SHAPE.validate_python(content["organs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return None
