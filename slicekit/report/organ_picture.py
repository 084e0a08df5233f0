"""A small picture of one organ of one scan: its largest slice, its outline and its neighbours'."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slicekit.labels import LabelSet
from slicekit.report.view import View
from slicekit.volume import Volume
from slicekit.windows import Window

_WIDTH = 320
_FAINT = (120, 120, 120)


def organ_picture(
    image: Volume, labels: Volume, names: LabelSet, organ: str, *, window: Window
) -> bytes:
    """Draw the slice on which an organ is largest, as PNG.

    Args:
        image: ``(z, y, x)`` intensities.
        labels: ``(z, y, x)`` ids on the same grid.
        names: What the ids mean; the organ is outlined in its colour, all others in gray.
        organ: Which one; of an absent organ the middle slice is shown.
        window: The range of intensities from black to white.

    Returns:
        The file's bytes; 320 pixels wide, the patient's front up.
    """
    number = names.id_of(organ)
    areas = np.array([np.count_nonzero(plane == number) for plane in labels.array])
    z = int(areas.argmax()) if areas.any() else len(areas) // 2
    view = View.of(image, window, [z], labels)
    gray = view.show(window.apply(np.nan_to_num(image.array[z])))
    ids = view.show(labels.array[z])
    size = (_WIDTH, max(1, round(_WIDTH * view.height_over_width)))
    flat = np.rint(np.ascontiguousarray(gray, np.float32) * 255).astype(np.uint8)
    picture = cv2.cvtColor(cv2.resize(flat, size), cv2.COLOR_GRAY2RGB)
    red, green, blue = (round(255 * part) for part in names.colour(number))
    others = (ids > 0) & (ids != number)
    for mask, colour in ((others, _FAINT), (ids == number, (red, green, blue))):
        _outline(picture, mask, colour)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _outline(picture: NDArray[Any], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Draw the edge of a mask ``(y, x)``, brought to the picture's size, onto the picture."""
    y, x = picture.shape[:2]
    sized = cv2.resize(mask.astype(np.uint8) * 255, (x, y), interpolation=cv2.INTER_LINEAR)
    edges, _ = cv2.findContours(
        (sized > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, edges, -1, colour, 1, cv2.LINE_AA)
