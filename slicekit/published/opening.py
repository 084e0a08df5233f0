"""Open the files that others publish weights in: nothing in them is ever run.

An archive that would grow beyond measure when it is unpacked is refused unopened.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slicekit.errors import CheckpointError, lacks_memory

WANTED = (
    "wanted the weights of an STCN or a TransUNet as their authors publish them (torch.save of a "
    "state dict, plain or under 'state_dict', 'model' or 'network'), or R50+ViT-B_16.npz"
)
_NESTED = ("state_dict", "model", "network")
_PARALLEL = "module."
_LARGEST_BYTES = 2 << 30
_ZIP = b"PK\x03\x04"
_STARTS = (_ZIP, b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def open_published(file: Path) -> dict[str, Tensor]:
    """Read a state dict of ``torch.save`` or the arrays of a numpy archive.

    Names in front of which data-parallel training put ``module.`` lose that.

    Raises:
        CheckpointError: The file is missing, damaged or neither of the two, or holds more than
            tensors.
    """
    if _expect_known(file):
        return _arrays(file)
    state = _state_of(_load(file), file)
    while all(name.startswith(_PARALLEL) for name in state):
        state = {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}
    return state


def _expect_known(file: Path) -> bool:
    """Tell whether a file is numpy's, and refuse what is neither that nor torch's, or too large."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(4)
    except OSError as fault:
        raise CheckpointError(f"{file}: cannot be read ({fault.strerror})") from fault
    if not start.startswith(_STARTS):
        raise CheckpointError(f"{file}: is not a file of torch.save or numpy; {WANTED}")
    if size > _LARGEST_BYTES:
        raise CheckpointError(
            f"{file}: has {size:,} bytes, more than any known weights ({_LARGEST_BYTES:,}); "
            f"{WANTED}"
        )
    if start != _ZIP:
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as fault:
        raise CheckpointError(
            f"{file}: is damaged or cut short ({fault}); fetch the file again"
        ) from fault
    unpacked = sum(entry.file_size for entry in entries)
    numpys = bool(entries) and all(entry.filename.endswith(".npy") for entry in entries)
    if unpacked > (_LARGEST_BYTES if numpys else size):
        raise CheckpointError(
            f"{file}: its archive of {size:,} bytes would grow to {unpacked:,}; weights are hardly "
            "ever compressed, so the file is not what it claims to be and is not opened"
        )
    return numpys


def _arrays(file: Path) -> dict[str, Tensor]:
    """Read the numbers of a numpy archive; arrays of objects could hold a program."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as fault:  # a damaged file may end in any of them
        if lacks_memory(fault):
            raise
        reason = str(fault).partition("\n")[0] or type(fault).__name__
        raise CheckpointError(
            f"{file}: is damaged or holds more than numbers ({reason})"
        ) from fault


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
        raise CheckpointError(f"{file}: holds a {type(content).__name__}; {WANTED}")
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
            f"({', '.join(strange[:5])}); {WANTED}"
        )
    return dict(content)
