"""Whose folder it is: pseudo labels go on in a folder of their own and touch no other."""

from __future__ import annotations

import json
from pathlib import Path

from slicekit.errors import WriteError
from slicekit.io.atomic import write_text
from slicekit.training.pseudo.needs import WORK

_KIND = "slicekit pseudo 1"


def expect_ours(out: Path, source: Path, *, earlier: Path | None = None) -> None:
    """Refuse a folder that holds anything but an earlier run on the same dataset.

    Args:
        out: Folder of the pseudo labels; it need not be there.
        source: Folder of the dataset.
        earlier: Folder of an earlier round.

    Raises:
        WriteError: It is the dataset, the earlier round, or holds something else.
    """
    if earlier is not None and out.resolve() == earlier.resolve():
        raise WriteError(out, "is the earlier round itself; name another folder for this one")
    if out.resolve() == source.resolve():
        raise WriteError(out, "is the dataset itself; name another folder for the pseudo labels")
    here = str(source.resolve())
    try:
        about = json.loads(_mark(out).read_text(encoding="utf-8"))
        ours, before = about["kind"] == _KIND, about["source"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        ours, before = False, here
    if not ours and _holds_files(out):
        raise WriteError(out, "holds something else; name a new or an empty folder")
    if before != here:
        raise WriteError(out, f"holds pseudo labels of {before}; name another folder for {here}")


def claim(out: Path, source: Path) -> None:
    """Mark a folder as ours.

    Raises:
        WriteError: It cannot be written.
    """
    write_text(_mark(out), json.dumps({"kind": _KIND, "source": str(source.resolve())}) + "\n")


def _mark(out: Path) -> Path:
    return out / WORK / "about.json"


def _holds_files(out: Path) -> bool:
    """Tell whether there is more than what a run leaves that could not even begin."""
    try:
        if not out.is_dir():
            return out.exists()
        return any(not path.is_dir() for path in out.rglob("[!.]*"))
    except OSError as fault:
        raise WriteError(out, f"cannot be looked into ({fault.strerror}); check rights") from fault
