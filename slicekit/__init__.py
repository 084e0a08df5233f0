"""Segment CT and MR scans as if they were videos, from very few labels.

The public face; everything is imported when it is first used, so ``import slicekit`` is quick.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

# Read by libraries when they are first imported, so they are set before any of them is.
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # idle threads sleep: 7 times faster when cores are shared
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its version

try:
    __version__ = version("slicekit")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0.0.0"

_HOMES = {
    "LabelSet": "slicekit.labels",
    "Session": "slicekit.inference.session",
    "Volume": "slicekit.volume",
    "Window": "slicekit.windows",
    "SlicekitError": "slicekit.errors",
    "evaluate": "slicekit.metrics",
    "load_model": "slicekit.inference.model",
    "load_propagator": "slicekit.inference.model",
    "pick_runtime": "slicekit.runtime",
    "propagate_folder": "slicekit.report.carrying",
    "read_labels": "slicekit.io",
    "read_volume": "slicekit.io",
    "segment": "slicekit.inference.pipeline",
    "write_labels": "slicekit.io",
}
__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from slicekit.errors import SlicekitError as SlicekitError
    from slicekit.inference.model import load_model as load_model
    from slicekit.inference.model import load_propagator as load_propagator
    from slicekit.inference.pipeline import segment as segment
    from slicekit.inference.session import Session as Session
    from slicekit.io import read_labels as read_labels
    from slicekit.io import read_volume as read_volume
    from slicekit.io import write_labels as write_labels
    from slicekit.labels import LabelSet as LabelSet
    from slicekit.metrics import evaluate as evaluate
    from slicekit.report.carrying import propagate_folder as propagate_folder
    from slicekit.runtime import pick_runtime as pick_runtime
    from slicekit.volume import Volume as Volume
    from slicekit.windows import Window as Window


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'slicekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
