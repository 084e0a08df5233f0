"""What is installed, on what machine, and what ``auto`` would take; torch is never imported."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import slicekit
from slicekit.machine import (
    Gpus,
    available_bytes,
    cpu_bf16_units,
    cpu_is_intel,
    cpu_name,
    find_gpus,
    openvino_is_installed,
    total_bytes,
    usable_cores,
    user_cache,
    usual_threads,
)
from slicekit.recipes.finding import OWN_MODELS, bundled
from slicekit.report.text_table import text_table

PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "numba", "nibabel", "pydicom", "highdicom",
    "python-gdcm", "imagecodecs", "timm", "segmentation-models-pytorch", "monai", "albumentations",
    "opencv-python-headless", "safetensors", "pydantic", "typer", "matplotlib",
    "openvino", "onnx", "fastapi", "uvicorn", "lightning-fabric", "ray",
)  # fmt: skip
"""What decides results and speed, extras last."""


@dataclass(frozen=True)
class Likely:
    """What ``auto`` would take, as far as that can be told without torch."""

    device: str
    """``cpu`` or ``cuda``."""
    precision: str | None
    """``bf16`` or ``float32``; ``None`` where only torch knows."""
    backend: str
    """``torch`` or ``openvino``."""
    threads: int
    certain: bool
    """Whether torch cannot decide otherwise."""
    why: str


@dataclass(frozen=True)
class Installation:
    """What is installed, and on what machine."""

    packages: Mapping[str, str | None]
    """Version of each of ``PACKAGES``; ``None`` for what is not installed."""
    cpu: str
    cores: int
    """That this process may use."""
    bf16_units: tuple[str, ...]
    memory_bytes: int | None
    available_bytes: int
    gpus: Gpus
    auto: Likely
    places: Mapping[str, Path]
    """Where models, weights and caches lie, whether there are any or not."""

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "slicekit": slicekit.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "packages": dict(self.packages),
            "cpu": {"name": self.cpu, "cores": self.cores, "bf16_units": list(self.bf16_units)},
            "memory": {"total_bytes": self.memory_bytes, "available_bytes": self.available_bytes},
            "gpu": {"names": list(self.gpus.names), "source": self.gpus.source},
            "auto": asdict(self.auto),
            "places": {name: str(path) for name, path in self.places.items()},
        }

    def to_text(self) -> str:
        """Write everything as lines for a person."""
        total = "?" if self.memory_bytes is None else f"{self.memory_bytes / 2**30:.1f}"
        precision = self.auto.precision or "a precision that only torch knows"
        certain = "" if self.auto.certain else ", probably"
        likely = (
            f"{self.auto.device}, {precision}, {self.auto.backend}, {self.auto.threads} threads"
        )
        bf16 = ", ".join(self.bf16_units) or "no bfloat16 unit"
        lines = {
            "slicekit": f"{slicekit.__version__}, Python {platform.python_version()}",
            "system": platform.platform(),
            "processor": f"{self.cpu}, {self.cores} cores, {bf16}",
            "memory": f"{total} GiB, {self.available_bytes / 2**30:.1f} GiB available",
            "GPU": ", ".join(self.gpus.names) or f"none seen ({self.gpus.source})",
            "auto takes": f"{likely}{certain} ({self.auto.why})",
            **{name.replace("_", " "): str(path) for name, path in self.places.items()},
        }
        width = max(map(len, lines))
        rows = [["package", "version"]]
        rows += [[name, found or "not installed"] for name, found in self.packages.items()]
        told = "\n".join(f"{name:{width}}  {text}" for name, text in lines.items())
        return f"{told}\n\n{text_table(rows, left=(0, 1))}"


def describe_installation() -> Installation:
    """Look at the installation and the machine; takes no longer than reading some small files."""
    gpus = find_gpus()
    packages = {name: _version(name) for name in PACKAGES}
    return Installation(
        packages=packages,
        cpu=cpu_name(),
        cores=usable_cores(),
        bf16_units=cpu_bf16_units(),
        memory_bytes=total_bytes(),
        available_bytes=available_bytes(),
        gpus=gpus,
        auto=_likely(gpus, packages["torch"] or ""),
        places={
            "models": bundled("models"),
            "weights": bundled("weights"),
            "own_models": Path(OWN_MODELS).absolute(),
            "cache": user_cache(),
        },
    )


def _likely(gpus: Gpus, torch: str) -> Likely:
    """Say what ``pick_runtime`` would decide; a GPU that is seen is not yet one that torch uses."""
    threads = usual_threads()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    if gpus.names and not hidden and "+cpu" not in torch:
        why = "the driver shows a GPU; whether torch can use it is known once torch is imported"
        return Likely("cuda", None, "torch", threads, certain=False, why=why)
    why = "there is no GPU"
    if gpus.names:
        why = "CUDA_VISIBLE_DEVICES hides the GPU" if hidden else "torch is a build for the CPU"
    backend = "openvino" if cpu_is_intel() and openvino_is_installed() else "torch"
    if not cpu_bf16_units():
        return Likely("cpu", "float32", backend, threads, certain=True, why=why)
    why += "; bf16 wherever torch brings oneDNN, as its usual builds do"
    return Likely("cpu", "bf16", backend, threads, certain=False, why=why)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
