"""The page's files, read once at the start; what a browser asks for is looked up in a table."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from slicekit.errors import MissingDependencyError
from slicekit.review.faults import UnknownCaseError

FOLDER = Path(__file__).parent / "page"
VIEWER = "vendor/niivue.js"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Pages:
    """Files by the name that a browser gives them.

    Args:
        folder: Where they lie.

    Raises:
        MissingDependencyError: They are not installed.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            file.relative_to(folder).as_posix(): (file.read_bytes(), _kind(file))
            for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.is_symlink()
        }
        if "index.html" not in self._files:
            raise MissingDependencyError(
                f"the page is not in {folder}; install slicekit again, with 'slicekit[web]'"
            )

    @property
    def has_viewer(self) -> bool:
        """Whether NiiVue is there, which shows the three planes."""
        return VIEWER in self._files

    def find(self, name: str) -> tuple[bytes, str]:
        """Return content and type of a file; the page itself for the empty name.

        Raises:
            UnknownCaseError: There is none of this name.
        """
        found = self._files.get(name or "index.html")
        if found is None and name == VIEWER:
            raise UnknownCaseError(
                "NiiVue, which shows the three planes, is not installed; run `make web`, then "
                "start slicekit review again"
            )
        if found is None:
            raise UnknownCaseError("there is no such page; open the address that was printed")
        return found


def _kind(file: Path) -> str:
    kind = _KINDS.get(file.suffix) or mimetypes.guess_type(file.name)[0]
    return kind or "application/octet-stream"
