"""Pictures of a page: labels on their scan, and predicted beside true ones."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from slicekit.data.intensity import from_gray, holds_hu
from slicekit.errors import DataWarning, ReadError
from slicekit.io import read_labels, read_volume
from slicekit.labels import LabelSet
from slicekit.report.batch import outputs_beside
from slicekit.report.made import digest
from slicekit.report.naming import name_all
from slicekit.report.page.sources import CaseSource
from slicekit.report.preview import draw_preview, spread_slices
from slicekit.report.tile import BACKGROUND, Tile, draw_tile, png_bytes
from slicekit.report.view import View, usual_window
from slicekit.volume import Volume
from slicekit.windows import ABDOMEN, Window

_TILE_IN = 2.9
_GAP_IN = 0.1
_DPI = 100


def case_picture(case: CaseSource, *, n_slices: int = 8) -> bytes:
    """Draw labels on their scan; the picture beside them is taken where there is a current one.

    Raises:
        SlicekitError: The scan or the labels cannot be read, or do not belong together.
    """
    beside = outputs_beside(case.labels)
    if n_slices >= 8 and beside.preview.is_file() and _is_unchanged(case):
        return beside.preview.read_bytes()
    image = read_scan(case)
    labels = read_labels(case.labels, like=image)
    names = name_all(case.labels, sorted({*np.unique(labels.array).tolist()} - {0}))
    window = window_of(image, case.side)
    figure = draw_preview(image, labels, names, window=window, n_slices=n_slices, title=case.name)
    return png_bytes(figure)


def read_scan(case: CaseSource) -> Volume:
    """Read the scan of labels as it was read when they were made.

    Raises:
        SlicekitError: It cannot be read, or nobody knows which it is.
    """
    scan = case.scan
    if scan is None:
        named = case.side.get("scan")
        if not isinstance(named, str):
            raise ReadError(
                case.labels, "has no sidecar that names its scan, so there is no picture"
            )
        raise ReadError(
            case.labels,
            f"the scan lies elsewhere or is another than the labels were made of ({named})",
        )
    told = case.side.get("options")
    options: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    spacing = options.get("spacing_mm")
    with warnings.catch_warnings():  # they were told when the labels were made
        warnings.simplefilter("ignore", DataWarning)
        image = read_volume(
            scan,
            volume_index=options.get("volume_index"),
            spacing_mm=None if spacing is None else tuple(spacing),
            series=options.get("series"),
            allow_uneven=bool(options.get("allow_uneven")),
        )
    gray = options.get("gray_range")
    return image if gray is None else from_gray(image, *gray, name=str(scan))


def window_of(image: Volume, side: Mapping[str, Any]) -> Window:
    """Choose the window of a picture: the model's, else one that suits the intensities."""
    told = side.get("window_hu")
    if holds_hu(image) and isinstance(told, list) and len(told) == 2:
        return Window.from_range(*told)
    return usual_window(image)


def compared_picture(
    image: Volume | None, truth: Volume, pred: Volume, names: LabelSet, *, window: Window = ABDOMEN
) -> bytes:
    """Draw four slices with what was predicted, in colours, and what is true, in dashed white.

    Args:
        image: ``(z, y, x)``; black without one.
        truth: ``(z, y, x)`` ids on the same grid.
        pred: ``(z, y, x)`` ids on the same grid.
        names: The organs, for both.
        window: The range of intensities from black to white.
    """
    shown = truth.with_array(np.zeros(truth.shape, np.float32)) if image is None else image
    window = Window.from_range(0, 1) if image is None else window
    either = truth.with_array(np.maximum(truth.array, pred.array))
    slices = spread_slices(either.array, 4)
    view = View.of(shown, window, slices, either)
    size = (len(slices) * (_TILE_IN + _GAP_IN), _TILE_IN * view.height_over_width)
    figure = Figure(figsize=size, dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    for column, z in enumerate(slices):
        left = column * (_TILE_IN + _GAP_IN) / size[0]
        axes = figure.add_axes((left, 0.0, _TILE_IN / size[0], 1.0))
        tile = Tile(z, f"slice {z}", names.names)
        draw_tile(axes, tile, shown, pred, names, window, view)
        ids = view.show(truth.array[z])
        for number in sorted({*np.unique(ids).tolist()} & {*names.ids.values()}):
            mask = np.pad(ids == number, 1).astype(np.float32)
            y, x = (np.arange(count) - 1 for count in mask.shape)
            axes.contour(
                x, y, mask, levels=[0.5], colors="white", linewidths=0.9, linestyles="dashed"
            )
    return png_bytes(figure)


def _is_unchanged(case: CaseSource) -> bool:
    """Tell whether labels are as they were when their picture was drawn."""
    path: Path = case.labels
    return path.is_file() and digest(path) == case.side.get("labels_sha256")
