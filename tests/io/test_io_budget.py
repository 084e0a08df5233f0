"""Memory is asked for before it is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicekit.errors import ReadError
from slicekit.io import budget


def test_half_of_what_is_available_is_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "available_bytes", lambda: 8 << 30)
    budget.expect_within_budget(Path("scan.nii"), 4 << 30, None)
    with pytest.raises(ReadError, match=r"needs 131 TiB of memory .*, budget 4 GiB"):
        budget.expect_within_budget(Path("scan.nii"), 131 << 40, None)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (5_500_000, "5.25 MiB")],
)
def test_sizes_in_words(size: int, text: str) -> None:
    assert budget.in_words(size) == text
