"""A session in one file: what was drawn, what came out, and on which scan."""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicekit.errors import GeometryError, ReadError
from slicekit.io.atomic import write_atomically
from slicekit.io.outputs import expect_writable

_KIND = "slicekit session 1"
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError,
    zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SavedSession:
    """What a file holds of a session."""

    axis: str
    z_range: tuple[int, int]
    names: Mapping[str, int]
    """Organ to id."""
    named: bool
    """Whether the names were given, or came as organs were drawn."""
    guides: Mapping[str, Mapping[int, NDArray[np.bool_]]]
    """Organ to slice to mask ``(y, x)`` along the axis."""
    labels: NDArray[Any]
    """``(z, y, x)`` along the axis, as last carried."""
    affine: NDArray[np.float64]
    """Of the scan."""
    shape: tuple[int, ...]
    """Of the scan, ``(z, y, x)``."""
    model: str | None
    """SHA-256 of the propagator's tensors; ``None`` where shapes were interpolated."""


def write_session(path: str | Path, saved: SavedSession, *, overwrite: bool = False) -> Path:
    """Write a session: an .npz of plain arrays and one JSON text, nothing pickled.

    Raises:
        WriteError: It cannot be written whole, or something is in the way.
    """
    expect_writable(path, overwrite=overwrite)
    drawn = [(organ, z) for organ, masks in saved.guides.items() for z in masks]
    about = {
        "kind": _KIND, "axis": saved.axis, "z_range": saved.z_range, "names": dict(saved.names),
        "named": saved.named, "drawn": drawn, "shape": saved.shape, "model": saved.model,
        "plane": saved.labels.shape[1:],
    }  # fmt: skip
    masks = [np.packbits(saved.guides[organ][z]) for organ, z in drawn]
    packed = np.stack(masks) if masks else np.zeros((0, 0), np.uint8)

    def fill(file: Path) -> None:
        with file.open("wb") as opened:  # a name without .npz stays as it is
            np.savez_compressed(
                opened, about=np.array(json.dumps(about)), masks=packed,
                labels=saved.labels, affine=saved.affine,
            )  # fmt: skip

    return write_atomically(path, fill, verify=lambda file: _ignore(read_session(file)))


def read_session(path: str | Path) -> SavedSession:
    """Read what ``write_session`` wrote.

    Raises:
        ReadError: It is missing, damaged or something else.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:
            about = json.loads(str(held["about"]))
            packed, labels, affine = held["masks"], held["labels"], held["affine"]
        if about["kind"] != _KIND:
            raise ReadError(file, f"is a {about['kind']}, expected a {_KIND}; save it again")
        y, x = about["plane"]
        guides: dict[str, dict[int, NDArray[np.bool_]]] = {}
        for (organ, z), bits in zip(about["drawn"], packed, strict=True):
            mask = np.unpackbits(bits, count=y * x).reshape(y, x).astype(bool)
            guides.setdefault(organ, {})[int(z)] = mask
        first, end = about["z_range"]
        saved = SavedSession(
            about["axis"], (first, end), about["names"], about["named"], guides, labels, affine,
            tuple(about["shape"]), about["model"],
        )  # fmt: skip
        _expect_whole(saved)
    except FileNotFoundError as fault:
        raise ReadError(file, "does not exist; name a file that a session was saved to") from fault
    except _DAMAGE as fault:
        raise ReadError(file, f"is no saved session, or is damaged ({fault})") from fault
    return saved


def _expect_whole(saved: SavedSession) -> None:
    depth, *plane = saved.labels.shape
    zs = [z for masks in saved.guides.values() for z in masks]
    masks = [mask for some in saved.guides.values() for mask in some.values()]
    if saved.labels.dtype.kind != "u" or saved.axis not in ("z", "y", "x"):
        raise ValueError("its labels or its axis cannot be")
    if sorted(saved.labels.shape) != sorted(saved.shape) or not all(0 <= z < depth for z in zs):
        raise ValueError("its slices do not fit together")
    if any(list(mask.shape) != plane for mask in masks):
        raise ValueError("its masks have another size than its slices")


def expect_same_scan(saved: SavedSession, *, path: str | Path, shape: Any, affine: Any) -> None:
    """Refuse to go on with another scan.

    Raises:
        GeometryError: The scan has another grid than the one that was drawn on.
    """
    if tuple(saved.shape) != tuple(shape) or not np.allclose(saved.affine, affine, atol=1e-3):
        raise GeometryError(
            f"{path}: was drawn on a scan of {tuple(saved.shape)} (z, y, x), this one is "
            f"{tuple(shape)}" + (", placed elsewhere" if tuple(saved.shape) == tuple(shape) else "")
            + "; open the scan it was drawn on"
        )  # fmt: skip


def _ignore(_: object) -> None:
    """Take the proof that a file can be read, and no more."""
