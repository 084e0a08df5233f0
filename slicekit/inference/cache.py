"""A folder for what is slow to make and may be lost, such as converted networks."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from slicekit.errors import WriteError
from slicekit.io.atomic import write_atomically
from slicekit.machine import user_cache

log = logging.getLogger(__name__)

MOST_BYTES = 2 << 30
"""Files that were not used for longest are removed beyond this."""
_DIGEST = hashlib.sha256().digest_size


class Cache:
    """Bytes by name, each behind its own SHA-256; a damaged file counts as absent.

    A folder that cannot be read or written costs time, never a result.

    Args:
        folder: Where the files lie; ``user_cache()`` when ``None``.
        most_bytes: What they may take together.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = Cache(Path(folder))
        ...     cache.get("one", lambda: b"slow"), cache.get("one", lambda: b"other")
        (b'slow', b'slow')
    """

    def __init__(self, folder: Path | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder or user_cache(), most_bytes

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return what lies under a name; make it and keep it where there is nothing."""
        path = self.folder / name
        found = _read(path)
        if found is None:
            found = make()
            self._keep(path, found)
        return found

    def _keep(self, path: Path, content: bytes) -> None:
        digest = hashlib.sha256(content).digest()
        try:
            write_atomically(path, lambda file: _write(file, digest + content))
            self._tidy()
        except (WriteError, OSError) as fault:
            log.info("not kept for the next time: %s", fault)

    def _tidy(self) -> None:
        files = [(file.stat(), file) for file in self.folder.iterdir() if file.is_file()]
        total = 0
        for stat, file in sorted(files, key=lambda entry: entry[0].st_mtime, reverse=True):
            total += stat.st_size
            if total > self.most_bytes:
                file.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
        os.utime(path)  # what is used stays
    except OSError:
        return None
    digest, rest = content[:_DIGEST], content[_DIGEST:]
    return rest if hashlib.sha256(rest).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
