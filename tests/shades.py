"""Made scans of balls in a body, and a few-shot network that knows a place by its brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from slicekit.inference.shots import FewShot
from slicekit.networks.alpnet import PRESETS, ALPNet
from slicekit.recipes import Recipe, parse_recipe
from slicekit.runtime import Runtime
from slicekit.volume import Volume

SHAPE = (18, 80, 96)
SPACING_MM = (6.0, 2.0, 2.0)
BALLS = {"liver": (0.9, (9, 36, 30), 30.0), "kidney": (0.65, (6, 52, 66), 22.0)}
"""Brightness, centre in voxels, radius in mm."""
IDS = {"liver": 7, "kidney": 3}


class Shades(ALPNet):
    """Features are the brightness of a place, as a direction: four shades at right angles."""

    def __init__(self) -> None:
        super().__init__(PRESETS["tiny"])

    def encode(self, slices: Tensor) -> Tensor:
        padded, _ = self._pad(slices)
        bright = F.avg_pool2d(padded[:, :1].float(), 8)
        shades = torch.tensor([0.0, 0.35, 0.65, 0.9]).view(1, 4, 1, 1)
        return torch.exp(-(((bright - shades) / 0.1) ** 2)) + 1e-3


def ball(centre: tuple[float, float, float], radius_mm: float, shift: int = 0) -> NDArray[np.bool_]:
    """A ball ``(z, y, x)``, moved along z by some slices."""
    grid = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    away = [
        (axis - middle - (shift if number == 0 else 0)) * step
        for number, (axis, middle, step) in enumerate(zip(grid, centre, SPACING_MM, strict=True))
    ]
    return np.asarray(sum(part**2 for part in away) <= radius_mm**2)


def patient(shift: int = 0, *, brightest: float = 1000.0) -> tuple[Volume, Volume]:
    """A scan without a unit, and its labels; organs lie ``shift`` slices higher."""
    affine = np.diag([*SPACING_MM, 1.0])[:, [2, 1, 0, 3]]
    affine[:3, :3] = np.array([[0, 0, 2.0], [0, 2.0, 0], [6.0, 0, 0]])
    image = np.zeros(SHAPE, np.float32)
    image[:, 6:74, 8:88] = 0.35
    labels = np.zeros(SHAPE, np.uint8)
    for name, (bright, centre, radius) in BALLS.items():
        inside = ball(centre, radius, shift)
        image[inside], labels[inside] = bright, IDS[name]
    image[:, :2, :2] = 1.0  # the brightest there is, so that percentiles change nothing
    return Volume(image * brightest, affine), Volume(labels, affine)


def recipe(**inference: Any) -> Recipe:
    """A few-shot model of MR at 1 mm."""
    return parse_recipe(
        {
            "name": "shades",
            "role": "fewshot",
            "input": {
                "modality": "MR",
                "windows": [[0.0, 1.0]] * 3,
                "spacing_mm": 1.0,
                "body_above_hu": "",
            },
            "organs": {},
            "networks": [{"kind": "alpnet", "preset": "tiny"}],
            "training": {"steps": 1},
            "inference": inference,
        },
        source="test",
    )


def model(carrier: Any = None, **inference: Any) -> FewShot:
    """The model, with a carrier or without."""
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    network = Shades().eval()
    return FewShot(network, recipe(**inference), "0" * 64, carrier, runtime)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice score of two masks."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
