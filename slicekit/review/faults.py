"""Faults as the page and scripts get them: JSON with the cause and the cure."""

from __future__ import annotations

import logging
import re
from typing import Any

from slicekit.errors import FileError, SlicekitError, lacks_memory

log = logging.getLogger(__name__)

_STATUS = {
    "BusyError": 409,
    "StaleError": 409,
    "TakenError": 409,
    "UnknownCaseError": 404,
    "TooLargeError": 413,
    "TooSlowError": 408,
}


class UnknownCaseError(SlicekitError):
    """There is no such case, or no such page."""


class TooLargeError(SlicekitError):
    """More was sent than this server takes."""


class TooSlowError(SlicekitError):
    """The rest of a request did not come."""


def described(fault: BaseException) -> dict[str, Any]:
    """Return kind, cause and cure of a fault; of one of slicekit itself no details.

    Example:
        >>> described(UnknownCaseError("there is no case 7; there are 3"))["cure"]
        'there are 3'
    """
    if lacks_memory(fault):
        return {
            "error": "MemoryError",
            "cause": "there is not enough memory",
            "cure": "close other programs, or cut or resample the scan",
        }
    if not isinstance(fault, SlicekitError):
        log.error("a fault of slicekit itself", exc_info=fault)
        return {
            "error": "InternalError",
            "cause": f"a fault of slicekit itself ({type(fault).__name__})",
            "cure": "what was drawn is kept; the terminal that runs slicekit review says more",
        }
    cause, cure = _split(str(fault))
    return {"error": type(fault).__name__, "cause": cause, "cure": cure}


def status_of(fault: BaseException) -> int:
    """Return the HTTP status of a fault."""
    if (known := _STATUS.get(type(fault).__name__)) is not None:
        return known
    if isinstance(fault, FileError):
        return 500
    return 422 if isinstance(fault, SlicekitError) else 500


def _split(text: str) -> tuple[str, str]:
    """Cut a message into what happened and what to do."""
    parts = re.split(r"; | - ", text)
    if len(parts) == 1:
        return text, "see the terminal that runs slicekit review"
    cause = text[: len(text) - len(parts[-1])].rstrip("; -")
    return cause, parts[-1]
