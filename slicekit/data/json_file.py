"""JSON files of a dataset, read with care: one that names a key twice is damaged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slicekit.errors import DatasetError, ReadError


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Read the JSON object of a file.

    Args:
        path: The file.
        what: What it is needed for; ends the message when it is missing.

    Raises:
        DatasetError: It is missing, or holds something else than an object.
        ReadError: It is no JSON, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=_expect_no_key_twice)
    except FileNotFoundError as fault:
        raise DatasetError(f"{path} is missing; {what}") from fault
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(path, f"is not readable JSON ({fault}); mend it") from fault
    if not isinstance(content, dict):
        raise DatasetError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _expect_no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what json itself would pass over: only the last of two entries would count."""
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise ValueError(f"it names {', '.join(map(repr, twice[:5]))} twice")
    return table
