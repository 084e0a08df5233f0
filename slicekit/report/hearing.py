"""Warnings about data, kept for whoever reads the results later."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slicekit.errors import DataWarning


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Note what is warned about data in a block; the warnings are shown as ever.

    Yields:
        What was said until now, each once.
    """
    heard: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, DataWarning) and str(message) not in heard:
                heard.append(str(message))
            show(message, category, *where, **more)

        warnings.showwarning = note
        yield heard
