"""The header of a weights file: texts that are read without the tensors, and without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from slicekit.errors import CheckpointError

FORMAT = "slicekit-1"
"""What a file of ours says of itself."""
_LARGEST_HEADER = 16 * 2**20


def read_header(path: str | Path) -> dict[str, str]:
    """Read the texts in the header of a weights file; the tensors stay on disk.

    Returns:
        Among others ``sha256``, that of the tensors as they were written, and ``recipe`` and
        ``card`` as JSON. Whether the tensors still have that digest is seen only when they are
        loaded.

    Raises:
        CheckpointError: The file is missing, truncated, of another format, or its header was
            changed.
    """
    file = Path(path)
    expect_container(file)
    try:
        with safe_open(file, framework="np") as opened:
            header = dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError) as fault:
        raise CheckpointError(f"{file}: is damaged or not a safetensors file ({fault})") from fault
    expect_format(file, header)
    expect_own_texts(file, header)
    return header


def digest_of_texts(texts: Mapping[str, str]) -> str:
    """Return the SHA-256 of a header, but for this digest itself."""
    rest = {name: text for name, text in texts.items() if name != "header_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def expect_container(file: Path) -> None:
    """Refuse what is plainly something else, before any library looks at it.

    Raises:
        CheckpointError: It cannot be read, is cut short, or is pickled.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start, brace = opened.read(8), opened.read(1)
    except OSError as fault:
        raise CheckpointError(f"{file}: cannot be read ({fault.strerror})") from fault
    header = int.from_bytes(start, "little")
    if brace == b"{" and header <= min(_LARGEST_HEADER, size - 8):
        return
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise CheckpointError(
            f"{file}: is a pickled or zipped checkpoint, which could run code when loaded and is "
            "never opened; slicekit reads its own .safetensors files, and "
            "'slicekit import-weights' makes one of published weights"
        )
    if size < 8:
        raise CheckpointError(f"{file}: is empty or cut short ({size} bytes)")
    raise CheckpointError(
        f"{file}: is cut short or not a safetensors file: its header claims {header} bytes, "
        f"the file has {size}"
    )


def expect_format(file: Path, header: Mapping[str, str]) -> None:
    """Refuse a file that another program or version wrote.

    Raises:
        CheckpointError: It is one.
    """
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{file}: its header says format {header.get('format')!r}, wanted {FORMAT!r}; "
            "it was not written by this version of slicekit"
        )


def expect_own_texts(file: Path, header: Mapping[str, str]) -> None:
    """Refuse a header whose texts are not those that were written.

    Raises:
        CheckpointError: They were changed.
    """
    if header.get("header_sha256", (texts := digest_of_texts(header))) != texts:
        raise CheckpointError(f"{file}: is damaged: its header was changed; fetch the file again")
