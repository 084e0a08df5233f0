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
    "FinetuneOptions": "slicekit.training.finetune",
    "LabelSet": "slicekit.labels",
    "SegmentOptions": "slicekit.report.case",
    "Session": "slicekit.inference.session",
    "SlicekitError": "slicekit.errors",
    "Volume": "slicekit.volume",
    "Window": "slicekit.windows",
    "evaluate": "slicekit.metrics",
    "evaluate_paths": "slicekit.report.evaluation",
    "find_organs": "slicekit.inference.fewshot",
    "finetune": "slicekit.training.finetune",
    "load_fewshot": "slicekit.inference.shots",
    "load_model": "slicekit.inference.model",
    "load_propagator": "slicekit.inference.model",
    "pick_runtime": "slicekit.runtime",
    "propagate_folder": "slicekit.report.carrying",
    "read_labels": "slicekit.io",
    "read_volume": "slicekit.io",
    "segment": "slicekit.inference.pipeline",
    "segment_folder": "slicekit.report.folder",
    "statistics": "slicekit.report.statistics",
    "write_labels": "slicekit.io",
    "write_volume": "slicekit.io",
}
__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from slicekit.errors import SlicekitError as SlicekitError
    from slicekit.inference.fewshot import find_organs as find_organs
    from slicekit.inference.model import load_model as load_model
    from slicekit.inference.model import load_propagator as load_propagator
    from slicekit.inference.pipeline import segment as segment
    from slicekit.inference.session import Session as Session
    from slicekit.inference.shots import load_fewshot as load_fewshot
    from slicekit.io import read_labels as read_labels
    from slicekit.io import read_volume as read_volume
    from slicekit.io import write_labels as write_labels
    from slicekit.io import write_volume as write_volume
    from slicekit.labels import LabelSet as LabelSet
    from slicekit.metrics import evaluate as evaluate
    from slicekit.report.carrying import propagate_folder as propagate_folder
    from slicekit.report.case import SegmentOptions as SegmentOptions
    from slicekit.report.evaluation import evaluate_paths as evaluate_paths
    from slicekit.report.folder import segment_folder as segment_folder
    from slicekit.report.statistics import statistics as statistics
    from slicekit.runtime import pick_runtime as pick_runtime
    from slicekit.training.finetune import FinetuneOptions as FinetuneOptions
    from slicekit.training.finetune import finetune as finetune
    from slicekit.volume import Volume as Volume
    from slicekit.windows import Window as Window


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'slicekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
