"""Random changes to slices: drawn first as a value, then applied.

One ``Draw`` serves the image, the mask and every slice of a clip; applying it twice gives the
same pixels. Geometry goes through albumentations, the one place where it is used. Nothing is
ever mirrored: left and right organs are different classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from slicekit.checks import expect_shape
from slicekit.labels import IGNORE_ID


@dataclass(frozen=True)
class Strength:
    """How far a drawn change may go."""

    angle_deg: float = 15.0
    scale: float = 0.2
    """Largest relative change of size."""
    shear_deg: float = 5.0
    shift: float = 0.06
    """Largest shift, as a share of the slice."""
    bend_share: float = 0.3
    """Share of draws with an elastic deformation."""
    gain: float = 0.15
    """Largest relative change of contrast."""
    offset: float = 0.06
    """Largest change of brightness; 1 is the whole range of intensities."""
    noise: float = 0.03
    """Largest standard deviation of added noise, in the same unit."""
    soften_share: float = 0.15
    """Share of draws that are blurred, as a soft reconstruction kernel would."""


WEAK = Strength(5.0, 0.08, 2.0, 0.03, 0.0, 0.05, 0.02, 0.01, 0.0)
"""For slices whose pseudo labels are to be trusted."""
TINTED = Strength(0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.12, 0.06, 0.3)
"""For what pupils see of a slice whose labels a teacher gives: nothing moves."""
STRONG = Strength()
"""For labelled slices."""


@dataclass(frozen=True)
class Draw:
    """One drawn change; ``apply`` is deterministic."""

    angle_deg: float
    scale: float
    shear_deg: float
    shift_y: float
    shift_x: float
    bend: bool
    gain: float
    offset: float
    gamma: float
    noise: float
    soften: float
    seed: int
    bend_px: float = 300.0
    """Elastic deformation: what smoothed noise between -1 and 1 is multiplied by."""
    bend_smooth_px: float = 12.0
    """Standard deviation of its smoothing."""

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: Strength = STRONG) -> Draw:
        """Draw a change no stronger than ``strength``."""
        s = strength
        return cls(
            angle_deg=rng.uniform(-s.angle_deg, s.angle_deg),
            scale=float(np.exp(rng.uniform(-s.scale, s.scale))),
            shear_deg=rng.uniform(-s.shear_deg, s.shear_deg),
            shift_y=rng.uniform(-s.shift, s.shift),
            shift_x=rng.uniform(-s.shift, s.shift),
            bend=bool(rng.random() < s.bend_share),
            gain=1.0 + rng.uniform(-s.gain, s.gain),
            offset=rng.uniform(-s.offset, s.offset),
            gamma=float(np.exp(rng.uniform(-s.gain, s.gain))),
            noise=max(0.0, rng.uniform(-s.noise, s.noise)),
            soften=rng.uniform(0.5, 1.0) if rng.random() < s.soften_share else 0.0,
            seed=int(rng.integers(2**31)),
        )

    def apply(
        self, images: NDArray[np.float32], masks: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Change slices and, in the same way, their masks.

        Args:
            images: ``(n, y, x)`` in ``[0, 1]``.
            masks: ``(n, y, x)`` labels, or ``None``.

        Returns:
            Arrays of the same shapes. What moved in from outside the slice is ``IGNORE_ID`` in
            the masks; in the images it is 0 before contrast, brightness and noise change it.
        """
        sizes = expect_shape("images", images, "n y x")
        targets: dict[str, Any] = {"images": images[..., None]}
        if masks is not None:
            expect_shape("masks", masks, f"{sizes['n']} {sizes['y']} {sizes['x']}")
            targets["masks"] = masks
        moved = self._geometry()(**targets)
        changed = self._intensity(moved["images"].reshape(images.shape))
        return changed, None if masks is None else np.asarray(moved["masks"], dtype=np.uint8)

    def _geometry(self) -> A.Compose:
        steps: list[A.BasicTransform] = [
            A.Affine(
                scale=(self.scale, self.scale),
                rotate=(self.angle_deg, self.angle_deg),
                shear={"x": (self.shear_deg, self.shear_deg), "y": (0.0, 0.0)},
                translate_percent={
                    "x": (self.shift_x, self.shift_x),
                    "y": (self.shift_y, self.shift_y),
                },
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                fill=0.0,
                fill_mask=IGNORE_ID,
                p=1.0,
            )
        ]
        if self.bend:
            steps.append(
                A.ElasticTransform(
                    alpha=self.bend_px,
                    sigma=self.bend_smooth_px,
                    interpolation=cv2.INTER_LINEAR,
                    mask_interpolation=cv2.INTER_NEAREST,
                    approximate=False,
                    fill=0.0,
                    fill_mask=IGNORE_ID,
                    p=1.0,
                )
            )
        return A.Compose(steps, seed=self.seed)

    def _intensity(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Change contrast, brightness and noise; geometry stays."""
        if self.soften:
            images = np.stack([cv2.GaussianBlur(image, (0, 0), self.soften) for image in images])
        changed = np.clip((images - 0.5) * self.gain + 0.5 + self.offset, 0.0, 1.0) ** self.gamma
        if self.noise:
            rng = np.random.default_rng(self.seed)
            changed = changed + self.noise * rng.standard_normal(images.shape, dtype=np.float32)
        within: NDArray[np.float32] = np.clip(changed, 0.0, 1.0).astype(np.float32, copy=False)
        return within
