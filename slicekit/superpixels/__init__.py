"""What can be told from intensities alone: where the body lies, which pixels belong together.

Everything is imported when it is first used: superpixels are compiled code, and who asks for the
body alone need not load the compiler.

Example:
    >>> import numpy as np
    >>> from slicekit.superpixels import merge, slic
    >>> slices = np.random.default_rng(0).random((2, 32, 32), dtype=np.float32)
    >>> labels = slic(slices, 16)
    >>> labels.shape, int(labels.min())
    ((2, 32, 32), 1)
    >>> [int(level.max()) for level in merge(labels, slices, [8, 4])]
    [8, 4]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {"foreground": "body", "merge": "merging", "slic": "iterative", "slic_each": "iterative"}
__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from slicekit.superpixels.body import foreground as foreground
    from slicekit.superpixels.iterative import slic as slic
    from slicekit.superpixels.iterative import slic_each as slic_each
    from slicekit.superpixels.merging import merge as merge


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"slicekit.superpixels.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'slicekit.superpixels' has no attribute {name!r}")
