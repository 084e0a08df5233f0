"""A tiny dataset on disk, and the machine to train on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.data.slices import CachedScan, cache_scan
from slicekit.io import write_labels, write_volume
from slicekit.labels import IGNORE_ID
from slicekit.networks import Committee
from slicekit.runtime import Runtime
from slicekit.training.two_stream import TwoStream


class Pixels(nn.Module):
    """Names every pixel by itself: four classes."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, slices, position=None):
        return 5 * self.layer(slices)


@pytest.fixture
def committee():
    """Make a committee of networks that name every pixel by itself, one a seed."""
    return lambda *seeds: Committee(*map(Pixels, seeds))


@pytest.fixture
def batch():
    """Two labelled slices and one unlabelled; all that is on them was looked for."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 6, 7), generator=random)
    labels[0, :2] = IGNORE_ID
    return TwoStream(
        slices=torch.rand(3, 3, 6, 7, generator=random),
        position=torch.zeros(3),
        labels=labels,
        known=torch.ones(2, 4, dtype=torch.bool),
        outside=torch.zeros(1, 6, 7, dtype=torch.bool),
        strong=torch.zeros(0, 3, 6, 7),
    )


@pytest.fixture
def runtime():
    """One thread, float32; threads of other tests come back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Runtime(torch.device("cpu"), bf16=False, threads=1)
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def scans(phantoms, make_recipe) -> tuple[CachedScan, ...]:
    """The four phantoms on a grid of 6 mm; all are labelled."""
    return tuple(
        cache_scan(f"phantom {n}", made.image, made.labels, recipe=make_recipe().input)
        for n, made in enumerate(phantoms)
    )


@pytest.fixture(scope="session")
def dataset(phantoms, tmp_path_factory) -> Path:
    """An nnU-Net raw folder: two labelled cases, an unlabelled and a held-out one."""
    root = tmp_path_factory.mktemp("dataset")
    for name, made in zip(("one", "two", "bare", "held"), phantoms, strict=True):
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", made.image)
        if name != "bare":
            write_labels(root / "labelsTr" / f"{name}.nii.gz", made.labels, like=made.image)
    labels = {"background": 0, **PHANTOM_LABELS.ids}
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    splits = {"train": ["one", "two"], "val": ["held"]}
    (root / "splits.json").write_text(json.dumps(splits))
    return root
