"""What to annotate next of many scans: a table, and a picture of what was chosen."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from slicekit.data.cases import Case
from slicekit.errors import DatasetError, DataWarning, RecipeError, WriteError
from slicekit.inference.acquisition import AcquisitionSettings, Choice, choose, expect_strategy
from slicekit.inference.model import Model
from slicekit.inference.resample import decide_on
from slicekit.inference.roles import expect_role
from slicekit.inference.segmentation import Progress
from slicekit.io import expect_writable
from slicekit.io.atomic import why_not_written, write_atomically
from slicekit.report.contact_sheet import SheetTile, draw_sheet
from slicekit.report.pool import find_pool
from slicekit.report.survey import Survey, open_case, survey
from slicekit.report.tile import png_bytes
from slicekit.volume import Volume

_MOST_SHOWN = 48


@dataclass(frozen=True)
class QueueOptions:
    """What a user may say about a queue."""

    n: int = 20
    """How many slices or scans at most."""
    per: Literal["slice", "case"] = "slice"
    """Whether single slices or whole scans are proposed."""
    strategy: str = "entropy"
    """A name in ``inference.acquisition.STRATEGIES``."""
    seed: int = 0
    """One seed gives one queue."""
    group: str | None = None
    """Group of splits.json; what is not annotated for ``None``."""
    every_mm: float | None = None
    """Distance between the slices that are looked at; as the recipe says for ``None``."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Organ to its weight; 1 where none is given."""
    overwrite: bool = False
    """Whether the queue of an earlier run may be replaced."""

    def __post_init__(self) -> None:
        if self.n < 1 or self.seed < 0 or not (self.every_mm is None or self.every_mm > 0):
            raise ValueError(
                f"a queue wants n from 1, a seed from 0 and a distance above 0 mm, got {self}"
            )


@dataclass(frozen=True)
class Proposal:
    """A slice or a scan that is worth annotating; a row of queue.csv."""

    rank: int
    """From 1, the most wanted first."""
    case: str
    image: str
    """Path of the scan."""
    slice: int | None
    """As the file counts, from 0; ``None`` where whole scans are proposed."""
    z_mm: float | None
    """How far above the scan's lowest slice it lies."""
    organ: str | None
    """Organ that it was chosen for; ``None`` where for all of them."""
    reason: str
    entropy_px: float
    """Of the organ, else of all by their weights; of a scan the mean of its slices."""
    disagreement_px: float | None
    """The same; ``None`` for one network."""
    area_px: float
    """Pixels of the organ, else of all."""


@dataclass(frozen=True)
class Queue:
    """What was proposed, and where it was written."""

    proposals: tuple[Proposal, ...]
    table: Path
    picture: Path
    slices: int
    """How many slices were looked at."""
    failures: Mapping[str, str]
    """Cases that could not be looked at, with the reason; a caller should report failure."""


def queue_dataset(
    data: Path,
    model: Model,
    out: Path,
    *,
    options: QueueOptions = QueueOptions(),
    progress: Progress | None = None,
) -> Queue:
    """Propose what to annotate next, and write queue.csv and queue.png.

    The scans are read one after the other; of each a few numbers a slice are kept. Those that
    were chosen are read a second time for the picture, which shows the first 48.

    Args:
        data: An nnU-Net raw folder, or a folder of NIfTI scans; see ``report.pool``.
        model: A reference; a propagator is not needed.
        out: Folder of the two files; made where it is missing.
        options: What the user said.
        progress: Told about every scan.

    Raises:
        DatasetError: There is no scan to propose, or nothing worth it in any.
        LabelError: A weight is of no organ.
        ReadError: The folder does not exist, or no scan can be read.
        RecipeError: No such strategy, one network is to disagree, or the model is no reference.
        ValueError: A weight is not a number from 0.
        WriteError: An output is in the way or cannot be written.
    """
    settings = _expect_possible(model, options)
    pool = find_pool(data, group=options.group, held_out=model.recipe.training.held_out_group)
    images = {case.name: case for case in pool}
    table, picture = expect_free(
        out, overwrite=options.overwrite, inputs=[case.image for case in pool]
    )
    tell = progress or (lambda stage, done, total: None)
    found = survey(
        pool, model, every_mm=options.every_mm or model.recipe.inference.sample_every_mm,
        told=lambda done, total: tell("scans", done, total),
    )  # fmt: skip
    choices = choose(
        found.doubts,
        options.n,
        options.strategy,
        per=options.per,
        settings=settings,
        known=found.known,
        rng=np.random.default_rng(options.seed),
    )
    if not choices:
        raise DatasetError(
            f"{data}: nothing is left to propose in {len(pool)} scans; all of it is annotated, "
            f"next to what is, or free of any {options.strategy}"
        )
    proposals = tuple(
        _proposal(rank, choice, found, images[choice.case].image, settings.weights)
        for rank, choice in enumerate(choices, start=1)
    )
    sheet = png_bytes(_draw(choices, found, images, model, options.strategy, tell))
    _write(table, _as_csv(proposals), picture, sheet)
    return Queue(proposals, table, picture, len(found.doubts), found.failures)


def _expect_possible(model: Model, options: QueueOptions) -> AcquisitionSettings:
    """Refuse what cannot be meant before a scan is read."""
    recipe = model.recipe
    expect_strategy(options.strategy, per=options.per)
    expect_role(recipe, "reference")
    if options.strategy == "disagreement" and len(recipe.networks) < 2:
        raise RecipeError(
            f"{recipe.name!r} is one network, which cannot disagree; choose 'entropy', or a "
            "reference of several networks"
        )
    for organ in options.weights:
        recipe.labels.id_of(organ)
    return AcquisitionSettings(weights=options.weights)


def expect_free(out: Path, *, overwrite: bool, inputs: Sequence[Path] = ()) -> tuple[Path, Path]:
    """Return table and picture, once it is sure that both can be written.

    Raises:
        WriteError: One of them is in the way, is an input, or cannot be written.
    """
    files = out / "queue.csv", out / "queue.png"
    for path in files:
        expect_writable(path, overwrite=overwrite, inputs=inputs)
        if path.is_dir():
            raise WriteError(path, "is a folder, but a file of that name is to be written")
    return files


def _proposal(
    rank: int, choice: Choice, found: Survey, image: Path, weights: Mapping[str, float]
) -> Proposal:
    """Add to a choice where it lies and what was measured there."""
    there = found.of(choice.case, choice.z)
    weigh = {choice.organ: 1.0} if choice.organ else weights

    def mean(values: Iterator[Mapping[str, float]], weights: Mapping[str, float]) -> float:
        organs = (choice.organ,) if choice.organ else None
        sums = [
            sum(one[organ] * weights.get(organ, 1.0) for organ in organs or one) for one in values
        ]
        return round(sum(sums) / len(sums), 1)

    members = min(one.members for one in there)
    return Proposal(
        rank=rank,
        case=choice.case,
        image=str(image),
        slice=None if choice.z is None else found.stored[choice.case, choice.z],
        z_mm=None if choice.z is None else round(there[0].z_mm, 2),
        organ=choice.organ,
        reason=choice.reason,
        entropy_px=mean((one.entropy_px for one in there), weigh),
        disagreement_px=mean((one.disagreement_px for one in there), weigh)
        if members > 1
        else None,
        area_px=mean((one.area_px for one in there), {}),
    )


def _draw(
    choices: Sequence[Choice],
    found: Survey,
    images: Mapping[str, Case],
    model: Model,
    strategy: str,
    tell: Progress,
) -> Figure:
    """Look again at what was chosen, each scan once, and draw it in the order of the ranks."""
    choices, count = choices[:_MOST_SHOWN], len(choices)
    measure = "disagreement_px" if strategy == "disagreement" else "entropy_px"
    wanted = []
    for rank, choice in enumerate(choices, start=1):
        there = found.of(choice.case, choice.z)  # of a scan its most doubtful slice is shown
        most = max(there, key=lambda one: sum(getattr(one, measure).values()))
        wanted.append((choice.case, most.z, rank, choice))
    tiles: dict[int, SheetTile] = {}
    for case, of_case in groupby(sorted(wanted, key=lambda one: one[:3]), key=lambda one: one[0]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # told when it was read first
            view = open_case(images[case], model)
        decide = decide_on(view.grid)
        for _, z, rank, choice in of_case:
            _, mean, _ = next(view.look([z]))
            cut = Volume(view.image.array[z : z + 1].copy(), view.image.affine)
            place = f"{rank}  {case}, slice {found.stored[case, z]}"
            tiles[rank] = SheetTile(
                image=cut,
                labels=cut.with_array(decide(mean).chosen[None]),
                title=f"{place}\n{_plain(choice.organ or '')}",
                note=_plain(choice.reason),
            )
            tell("picture", len(tiles), len(choices))
    shown = f" (the first {len(tiles)} of {count})" if len(tiles) < count else ""
    return draw_sheet(
        [tiles[rank] for rank in sorted(tiles)],
        model.recipe.labels,
        window=model.recipe.input.three_windows[0],
        title=f"what to annotate next, by {strategy}{shown}",
    )


def _plain(words: str) -> str:
    return words.replace("_", " ")


def _as_csv(proposals: Sequence[Proposal]) -> bytes:
    """Return a table with a heading; what is ``None`` stays empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [column.name for column in fields(Proposal)])
    writer.writeheader()
    writer.writerows(asdict(one) for one in proposals)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _write(table: Path, rows: bytes, picture: Path, sheet: bytes) -> None:
    """Write the picture, then the table, whose presence tells that the queue is complete."""

    def filled(content: bytes) -> Callable[[Path], None]:
        def writer(file: Path) -> None:
            file.write_bytes(content)

        return writer

    try:
        table.unlink(missing_ok=True)
    except OSError as fault:
        raise WriteError(table, why_not_written(fault, table)) from fault
    write_atomically(picture, filled(sheet))
    write_atomically(table, filled(rows))
