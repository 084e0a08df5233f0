"""Who runs the networks of a loaded model: torch, or OpenVINO."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slicekit.inference.cache import Cache
from slicekit.inference.sight import Propagator
from slicekit.networks import STCN, Committee
from slicekit.runtime import Runtime

if TYPE_CHECKING:
    from slicekit.inference.model import Model


def run_by_backend(model: Model, folder: Path | None) -> Model:
    """Hand the networks of a model to the runtime's backend.

    Args:
        model: Of torch's networks.
        folder: Where networks that were converted are kept.
    """
    if model.runtime.backend == "torch":
        return model
    from slicekit.inference import openvino_networks as openvino  # not needed elsewhere, and slow

    reference, propagator = model.reference, model.propagator
    if isinstance(reference, Committee):
        digest = model.sha256[model.recipe.name]
        compiler = openvino.Compiler(model.runtime, Cache(folder), digest)
        reference = openvino.OpenVinoCommittee(reference, compiler)
    if isinstance(propagator, STCN) and model.propagator_recipe:
        digest = model.sha256[model.propagator_recipe.name]
        propagator = propagator_by_backend(propagator, model.runtime, digest, folder)
    return replace(model, reference=reference, propagator=propagator)


def propagator_by_backend(
    network: STCN, runtime: Runtime, digest: str, folder: Path | None
) -> Propagator:
    """Hand a propagator to the runtime's backend."""
    if runtime.backend == "torch":
        return network
    from slicekit.inference import openvino_networks as openvino

    return openvino.OpenVinoSTCN(network, openvino.Compiler(runtime, Cache(folder), digest))
