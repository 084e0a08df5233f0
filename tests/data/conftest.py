"""Scans as training draws from them."""

from __future__ import annotations

import pytest

from slicekit.data.slices import CachedScan, cache_scan


@pytest.fixture(scope="session")
def scans(phantoms, make_recipe) -> tuple[CachedScan, ...]:
    """The four phantoms on a grid of 6 mm; all are labelled."""
    return tuple(
        cache_scan(f"phantom {n}", made.image, made.labels, recipe=make_recipe().input)
        for n, made in enumerate(phantoms)
    )
