"""Weights that others publish, made weights files of ours.

The only place that opens such files. Code in them is never run, and nothing is taken that does
not fit a network of ours name by name.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import slicekit
from slicekit.checkpoint import expect_finite, save_weights
from slicekit.errors import LabelError, WriteError
from slicekit.io.outputs import expect_writable
from slicekit.published import transunet
from slicekit.published.opening import open_published
from slicekit.published.stcn import of_stcn
from slicekit.published.transunet import from_jax, is_jax, is_transunet, of_transunet
from slicekit.recipes import parse_recipe

__all__ = ["import_published"]

log = logging.getLogger(__name__)


def import_published(
    source: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    organs: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Make a propagator or a reference of ours from published weights.

    An STCN (torch) becomes a propagator; all of it must fit. A TransUNet (torch) becomes a
    reference of one network that answers as the published code does, and the ImageNet weights
    of its encoder (``R50+ViT-B_16.npz``) become one whose decoder is random, to start a training
    from: the encoder must fit, and the log says what was left random. Numbers are rounded to
    float16, as in all our weights files.

    Args:
        source: The checkpoint.
        out: ``NAME.safetensors``.
        name: Name of the model; that of ``out`` when ``None``.
        organs: What the classes of a TransUNet are, in the order of their ids from 1;
            ``class_1``, ``class_2``, ... when empty.
        overwrite: Whether ``out`` may exist.

    Returns:
        ``out``, which ``load_model`` takes.

    Raises:
        CheckpointError: The file is missing, damaged or none of the three, or holds more than
            tensors; or numbers are not finite, also as float16.
        LabelError: There are other organs than classes.
        RecipeError: ``name`` is no name for a model.
        WriteError: ``out`` is no name for weights, exists, or could not be written whole.
    """
    file, target = Path(source), Path(out)
    if target.suffix != ".safetensors":
        raise WriteError(target, "is no name for a weights file; end it in .safetensors")
    expect_writable(target, overwrite=overwrite, inputs=[file])
    state = open_published(file)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    fitting, values, random = _converted(state, organs=organs, file=file)
    values |= {
        "name": name or target.stem,
        "about": f"{values['about']}, imported from {file.name} (SHA-256 {sha256}).",
        "licence": "That of the imported file; ask whoever published it.",
    }
    recipe = parse_recipe(values, source=str(values["name"]))
    expect_finite(fitting, source=str(file))
    halves = {key: t.half() if t.is_floating_point() else t for key, t in fitting.items()}
    expect_finite(halves, source=f"{file}, rounded to float16 (at most 65,504)")
    card = {
        "imported_from": {"file": file.name, "sha256": sha256},
        "imported_by": f"slicekit {slicekit.__version__}",
        "left_random": list(random),
    }
    save_weights(target, fitting, recipe, card=card)
    log.info("imported %s (sha256 %.12s) as %s", file, sha256, recipe.name)
    return target


def _converted(
    state: dict[str, Tensor], *, organs: Sequence[str], file: Path
) -> tuple[dict[str, Tensor], dict[str, Any], tuple[str, ...]]:
    """Return weights under our names, the values of their recipe, and what was left random."""
    if is_jax(state):
        return of_transunet(from_jax(state), presets=transunet.OF_JAX, organs=organs, file=file)
    if is_transunet(state):
        return of_transunet(state, presets=transunet.OF_TORCH, organs=organs, file=file)
    if organs:
        raise LabelError(f"{file}: an STCN follows anything and knows no organs; leave them out")
    return *of_stcn(state, file=file), ()
