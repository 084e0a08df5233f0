"""Fixtures that every test file may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from slicekit.data.phantom import Phantom
    from slicekit.recipes import Recipe

os.environ.setdefault("OMP_NUM_THREADS", "2")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes, for research use; never part of the project."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"the shared data folder {SHARED_DATA} is absent on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """Make a recipe of the smallest networks; keywords change its [training]."""
    from slicekit.data.phantom import PHANTOM_LABELS
    from slicekit.recipes import parse_recipe

    kinds = {"reference": ("transunet", "deeplabv3plus"), "propagator": ("stcn",)}
    usual = {"steps": 6, "batch": 2, "crop": [48, 64], "checkpoint_every": 3, "evaluate_every": 4}

    def make(role: str = "reference", **training: object) -> Recipe:
        return parse_recipe(
            {
                "name": f"tiny_{role}",
                "role": role,
                "input": {"windows": "ct-body", "spacing_mm": 6.0},
                "organs": dict(PHANTOM_LABELS.ids),
                "networks": [{"kind": kind, "preset": "tiny"} for kind in kinds[role]],
                "training": usual | training,
            },
            source="test",
        )

    return make


@pytest.fixture(scope="session")
def phantoms() -> tuple[Phantom, ...]:
    """Four patients of 16 slices, 64 x 64 pixels, 10 x 6 x 6 mm."""
    from slicekit.data.phantom import make_phantom

    return tuple(
        make_phantom(np.random.default_rng(seed), shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))
        for seed in range(4)
    )
