"""A prior as a file that people can read, check and change."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slicekit.errors import ReadError
from slicekit.io.atomic import write_text
from slicekit.io.outputs import expect_writable
from slicekit.training.pseudo.prior import Prior

_KIND = "slicekit prior 1"
_SHAPE = TypeAdapter(Prior)
_SHOWN = 3


def write_prior(path: str | Path, prior: Prior, *, overwrite: bool = False) -> Path:
    """Write a prior as JSON.

    Raises:
        WriteError: It cannot be written whole, or something is in the way.
    """
    expect_writable(path, overwrite=overwrite)
    text = json.dumps({"kind": _KIND, **asdict(prior)}, indent=2) + "\n"
    return write_text(path, text)


def read_prior(path: str | Path) -> Prior:
    """Read a prior that ``write_prior`` wrote, and maybe somebody changed.

    Raises:
        ReadError: It is missing, no JSON, no prior, or a value in it cannot be meant; the
            message names the value.
    """
    file = Path(path)
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise ReadError(file, "does not exist; name a prior learned from labelled cases") from fault
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(
            file, f"is not readable JSON ({fault}); mend it or learn it anew"
        ) from fault
    if not isinstance(content, dict) or content.pop("kind", None) != _KIND:
        raise ReadError(file, f"is no prior: it must be a JSON object with 'kind': {_KIND!r}")
    try:
        return _SHAPE.validate_python(content)
    except ValidationError as fault:
        told = [_explain(dict(entry)) for entry in fault.errors()]
        more = f" and {len(told) - _SHOWN} more faults" if len(told) > _SHOWN else ""
        raise ReadError(
            file, f"{'; '.join(told[:_SHOWN])}{more}; mend it or learn it anew"
        ) from fault


def _explain(entry: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "missing":
        return f"the key {where!r} is missing"
    if entry["type"] == "unexpected_keyword_argument":
        return f"unknown key {where!r}"
    if entry["type"] == "value_error":
        return f"{where}: {entry['ctx']['error']}" if where else str(entry["ctx"]["error"])
    return f"{where}: {entry['msg']} (got {entry['input']!r})"[:300]
