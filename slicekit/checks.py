"""Small checks for public doors: shapes, names, optional packages."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Protocol

from slicekit.errors import MissingDependencyError, ShapeError


class HasShape(Protocol):
    """Anything with a ``shape``: an array, a tensor, a memory map."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes along every axis."""


def expect_shape(name: str, array: HasShape, axes: str) -> dict[str, int]:
    """Match the shape of ``array`` against named axes and return their sizes.

    Args:
        name: What the caller calls this array; it opens the error message.
        array: Anything with a ``shape``.
        axes: One word an axis, such as ``"b 3 y x"``. A number must match itself, a word
            used twice must match both times.

    Raises:
        ShapeError: The number of axes, a fixed size, or two uses of one word disagree.

    Example:
        >>> import numpy as np
        >>> expect_shape("slices", np.zeros((2, 3, 8, 8)), "b 3 y x")
        {'b': 2, 'y': 8, 'x': 8}
    """
    words, shape = axes.split(), tuple(array.shape)
    sizes: dict[str, int] = {}
    fits = len(words) == len(shape) and all(
        size == int(word) if word.isdigit() else sizes.setdefault(word, size) == size
        for word, size in zip(words, shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"{name} must be ({', '.join(words)}), got {shape}")
    return sizes


def suggest(word: str, known: Iterable[str]) -> str:
    """End an error message about an unknown name: the likely one meant, and all there are.

    Example:
        >>> suggest("lver", ["liver", "spleen"])
        "did you mean 'liver'? There are: liver, spleen"
    """
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}There are: {', '.join(names)}"


def require(module: str, *, feature: str, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        module: Name to import, such as ``"openvino"``.
        feature: What it is needed for, as the user would say it.
        extra: The extra of slicekit that installs it.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as fault:
        raise MissingDependencyError(
            f"{feature} needs the package {module!r}, which is not installed; "
            f"pip install 'slicekit[{extra}]'"
        ) from fault
