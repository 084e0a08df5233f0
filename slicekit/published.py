"""Published STCN weights, in torch's own format, made one of our weights files.

The only place that opens such a file. Code in it is never run (``weights_only``), an archive that
would grow when it is unpacked is refused unopened, and nothing is taken that does not fit the
network name by name.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import slicekit
from slicekit.checkpoint import expect_finite, misfits, save_weights
from slicekit.errors import CheckpointError, WriteError, lacks_memory
from slicekit.io.outputs import expect_writable
from slicekit.networks import build
from slicekit.recipes import Recipe, parse_recipe

log = logging.getLogger(__name__)

PRESET = "paper"
"""The preset whose names and shapes are the published ones."""
_NESTED = ("state_dict", "model", "network")
_PARALLEL = "module."
_FIRST_CONV = "value_encoder.conv1.weight"
_COUNTER = ".num_batches_tracked"
_WINDOWS = ((-125.0, 275.0), (0.0, 160.0), (90.0, 260.0))
"""Three channels for a network that has learnt from colour pictures: those of our own models."""
_LARGEST_BYTES = 2 << 30
_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_WANTED = (
    "wanted the weights of an STCN as its authors publish them: torch.save of a state dict, plain "
    "or under 'state_dict', 'model' or 'network'"
)


def import_published(
    source: str | Path, out: str | Path, *, name: str | None = None, overwrite: bool = False
) -> Path:
    """Make a propagator of ours from a published STCN checkpoint.

    Names in front of which data-parallel training put ``module.`` lose that. Weights made for one
    object, whose value encoder sees four channels, get a fifth of zeros. Absent batch counters
    count as 0. All else must fit. Numbers are rounded to float16, as in all our weights files.

    Args:
        source: The checkpoint.
        out: ``NAME.safetensors``.
        name: Name of the model; that of ``out`` when ``None``.
        overwrite: Whether ``out`` may exist.

    Returns:
        ``out``, which ``load_model(propagator=...)`` takes.

    Raises:
        CheckpointError: The file is missing, damaged, not torch's, holds more than tensors, or
            other tensors than a published STCN; or numbers are not finite, also as float16.
        RecipeError: ``name`` is no name for a model.
        WriteError: ``out`` is no name for weights, exists, or could not be written whole.
    """
    file, target = Path(source), Path(out)
    if target.suffix != ".safetensors":
        raise WriteError(target, "is no name for a weights file; end it in .safetensors")
    expect_writable(target, overwrite=overwrite, inputs=[file])
    _expect_torch_file(file)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    recipe = _recipe(name or target.stem, file=file.name, sha256=sha256)
    with torch.device("meta"):
        network = build("stcn", PRESET)
    state = _fit(_without_prefix(_state_of(_load(file), file)), network, file)
    card = {
        "imported_from": {"file": file.name, "sha256": sha256},
        "imported_by": f"slicekit {slicekit.__version__}",
    }
    save_weights(target, state, recipe, card=card)
    log.info("imported %s (sha256 %.12s) as %s", file, sha256, recipe.name)
    return target


def _expect_torch_file(file: Path) -> None:
    """Refuse what is plainly something else, or would take more memory than it may."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(4)
    except OSError as fault:
        raise CheckpointError(f"{file}: cannot be read ({fault.strerror})") from fault
    if not start.startswith(_STARTS):
        raise CheckpointError(f"{file}: is not a file of torch.save; {_WANTED}")
    if size > _LARGEST_BYTES:
        raise CheckpointError(
            f"{file}: has {size:,} bytes, more than any STCN ({_LARGEST_BYTES:,}); {_WANTED}"
        )
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as fault:
            raise CheckpointError(
                f"{file}: is damaged or cut short ({fault}); fetch the file again"
            ) from fault
        if unpacked > size:
            raise CheckpointError(
                f"{file}: its archive of {size:,} bytes would grow to {unpacked:,}; torch.save "
                "compresses nothing, so the file is not what it claims to be and is not opened"
            )


def _load(file: Path) -> Any:
    """Open the file without running anything in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, to whoever wrote the file
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as fault:  # a damaged file may end in any of them
        if lacks_memory(fault):
            raise
        if isinstance(fault, pickle.UnpicklingError):
            named = re.search(r"GLOBAL (\S+)", str(fault))
            what = f"the pickled object {named[1]}" if named else "something else than tensors"
            raise CheckpointError(
                f"{file}: holds {what}, and slicekit never runs code from a file; ask whoever made "
                "it for the bare weights: torch.save(network.state_dict(), FILE)"
            ) from fault
        reason = str(fault).partition("\n")[0] or type(fault).__name__
        raise CheckpointError(f"{file}: is damaged or no checkpoint ({reason})") from fault


def _state_of(content: Any, file: Path) -> dict[str, Tensor]:
    """Find the state dict in what was loaded."""
    for _ in _NESTED:  # a file may hold itself, so there is an end to it
        if isinstance(content, Mapping):
            inner = (content[key] for key in _NESTED if isinstance(content.get(key), Mapping))
            content = next(inner, content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{file}: holds a {type(content).__name__}; {_WANTED}")
    strange = [
        str(key)
        for key, value in content.items()
        if not (
            isinstance(key, str)
            and isinstance(value, Tensor)
            and value.layout == torch.strided
            and not value.is_quantized
        )
    ]
    if strange:
        raise CheckpointError(
            f"{file}: {len(strange)} of its {len(content)} entries are no plain tensors "
            f"({', '.join(strange[:5])}); {_WANTED}"
        )
    return dict(content)


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take away what data-parallel training put in front of every name."""
    while all(name.startswith(_PARALLEL) for name in state):
        state = {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}
    return state


def _fit(state: dict[str, Tensor], network: nn.Module, file: Path) -> dict[str, Tensor]:
    """Return the weights under the network's names, in its shapes, each in memory of its own."""
    want = network.state_dict()
    counters = {name: torch.zeros((), dtype=torch.long) for name in want if name.endswith(_COUNTER)}
    state = counters | state
    first = state.get(_FIRST_CONV)
    outputs, channels, *sides = want[_FIRST_CONV].shape
    if first is not None and tuple(first.shape) == (outputs, channels - 1, *sides):
        log.info("%s: made for one object; the sum of the others has weight 0", file)
        state[_FIRST_CONV] = torch.cat([first, first.new_zeros(outputs, 1, *sides)], dim=1)
    if faults := misfits(network, state):
        raise CheckpointError(
            f"{file}: is no STCN as published: {'; '.join(faults)}; {_WANTED}, for one or several "
            "objects, with a ResNet-50 for keys and a ResNet-18 for values"
        )
    expect_finite(state, source=str(file))
    fitting = {name: state[name].to(want[name].dtype, copy=True) for name in want}
    halves = {name: tensor.half() for name, tensor in fitting.items()}
    expect_finite(halves, source=f"{file}, rounded to float16 (at most 65,504)")
    return fitting


def _recipe(name: str, *, file: str, sha256: str) -> Recipe:
    """Describe the propagator; how it was trained is not known."""
    return parse_recipe(
        {
            "name": name,
            "role": "propagator",
            "about": f"Published STCN weights, imported from {file} (SHA-256 {sha256}).",
            "licence": "That of the imported file; ask whoever published it.",
            "input": {
                "modality": "any",
                "windows": _WINDOWS,
                "spacing_mm": 1.0,
                "body_above_hu": None,
            },
            "organs": {},
            "networks": [{"kind": "stcn", "preset": PRESET}],
            "training": {"steps": 1},
        },
        source=name,
    )
