"""The tables of a recipe: every key, its unit and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slicekit.checks import suggest
from slicekit.errors import LabelError
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.windows import PRESETS, Window

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of a recipe: frozen, and no key that it does not know.

    TOML has no word for ``None``; an empty string says it, where ``None`` is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_none(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        may_be_none = {
            key
            for key, known in cls.model_fields.items()
            if type(None) in get_args(known.annotation)
        }
        return {
            key: None if value == "" and key in may_be_none else value
            for key, value in values.items()
        }


class InputRecipe(Section):
    """What a slice looks like to the networks."""

    modality: Literal["CT", "MR", "any"] = "CT"
    """CT intensities are HU. MR has no unit: 0 and 1 are two percentiles of the volume. ``any``
    takes HU as they are and stretches all else over the range of the windows."""
    windows: str | tuple[tuple[float, float], ...]
    """A preset's name, or three ``[low, high]`` ranges in HU (MR: in [0, 1]): the channels."""
    spacing_mm: Positive
    """In-plane pixel size at which the networks work."""
    body_above_hu: float | None = -100.0
    """Slices are cropped to the body, which is brighter; whole slices for an empty string."""

    @property
    def three_windows(self) -> tuple[Window, ...]:
        """The windows as values."""
        if isinstance(self.windows, str):
            return PRESETS[self.windows]
        return tuple(Window.from_range(low, high) for low, high in self.windows)

    @property
    def range_hu(self) -> tuple[float, float]:
        """Lowest and highest intensity that any window tells from its neighbours."""
        ranges = [window.range_hu for window in self.three_windows]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    @model_validator(mode="after")
    def _check_windows(self) -> InputRecipe:
        if self.modality == "MR":
            ranges = () if isinstance(self.windows, str) else self.windows
            body = self.body_above_hu
            if not ranges or any(not 0 <= edge <= 1 for pair in ranges for edge in pair):
                raise ValueError(
                    f"MR has no HU: wanted three [low, high] ranges in [0, 1], got {self.windows}"
                )
            if body is not None and not 0 <= body <= 1:
                raise ValueError(f"MR has no HU: body_above_hu must be in [0, 1], got {body}")
        if isinstance(self.windows, str):
            if self.windows not in PRESETS:
                hint = suggest(self.windows, PRESETS)
                raise ValueError(f"unknown windows {self.windows!r}; {hint}")
        elif len(self.windows) != 3 or any(low >= high for low, high in self.windows):
            raise ValueError(f"wanted three [low, high] ranges in HU, got {self.windows}")
        return self


class NetworkRecipe(Section):
    """One network, by the names of ``slicekit.networks``."""

    kind: str
    preset: str = "small"


class CpsRecipe(Section):
    """How two networks teach one another (cross pseudo supervision, Chen et al. 2021)."""

    weight: Annotated[float, Field(ge=0)] = 0.1
    """Largest weight of the pseudo loss; 0 trains the two networks side by side (a control)."""
    ramp_share: Share = 0.4
    """Share of all steps over which the weight climbs to its largest value."""
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Pseudo labels below this probability are ignored; 0 keeps all."""


class ClipRecipe(Section):
    """Clips of three slices for the propagator."""

    objects: Count = 3
    """Organs followed in one clip at most."""
    gap_mm: tuple[Positive, Positive] = (2.0, 25.0)
    """Smallest and largest distance between neighbouring slices of a clip."""
    ending_share: Share = 0.2
    """Share of clips placed so that an organ of the first slice ends before the last one."""
    degrade_share: Share = 0.5
    """Share of clips whose first mask is eroded, dilated or shifted, as guides are imperfect."""
    hardest: tuple[Share, Share, Share] = (0.3, 0.8, 0.25)
    """Bootstrapped CE: start and end of its schedule as shares of all steps, final share."""
    lovasz_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the Lovasz loss."""

    @model_validator(mode="after")
    def _check_order(self) -> ClipRecipe:
        if self.gap_mm[0] > self.gap_mm[1] or self.hardest[0] > self.hardest[1]:
            raise ValueError(
                f"gap_mm and hardest begin with a smaller and a larger number, got "
                f"{self.gap_mm} and {self.hardest}"
            )
        return self


class TrackRecipe(Section):
    """One organ at a time, followed inside a region of interest, for the propagator."""

    size: Annotated[int, Field(ge=32, multiple_of=16)] = 128
    """Pixels a side of the region, however large the organ is."""
    slices: Count = 3
    """Neighbouring slices walked in one track at first."""
    last_slices: Count = 5
    """The same in the last part of a run: longer walks teach to mend what went wrong before."""
    lengthen_at: Share = 0.75
    """Share of all steps after which that part begins."""
    step_mm: Positive = 3.5
    """Distance between them, about."""
    gap_mm: tuple[Positive, Positive] = (4.0, 60.0)
    """Distance between two guides, or from the only guide to where the walk begins."""
    between_share: Share = 0.45
    """Share of tracks with a guide on both sides."""
    ending_share: Share = 0.5
    """Chance that a track without a guide ahead is placed where the organ ends."""
    degrade_share: Share = 0.3
    """Share of guides that are eroded, dilated or shifted."""
    ghost_share: Share = 0.5
    """Where the organ has ended before the first slice: share of tracks whose neighbour is said to
    hold it still, so that the propagator learns to stop late rather than never."""
    unknown_share: Share = 0.15
    """Share of tracks whose first slice has no answered neighbour."""
    margin: tuple[Share, Share] = (0.15, 0.6)
    """Room on each side of the guides, as a share of the longer side of their box."""
    least_mm: Positive = 56.0
    """Smallest side of a region."""
    shift: Share = 0.08
    """The region's centre is moved by up to this share of its side."""


class TrainingRecipe(Section):
    """One training run; everything that changes its result."""

    steps: Count
    batch: Count = 8
    """Labelled slices (reference) or clips (propagator) in a step."""
    batch_unlabelled: Annotated[int, Field(ge=0)] = 0
    """Unlabelled slices in a step of the reference; 0 leaves the second stream out."""
    crop: tuple[Count, Count] = (224, 288)
    """Pixels ``(y, x)`` of a training slice, at the recipe's spacing."""
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    clip_norm: Positive = 1.0
    """Largest norm of the gradient."""
    warmup_share: Share = 0.03
    """Share of steps over which the learning rate climbs; then it falls by a cosine."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the averaged weights, which are those that are evaluated and kept."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    phantoms: Annotated[int, Field(ge=0)] = 0
    """Phantoms made and mixed into the labelled scans."""
    phantom_share: Share = 0.1
    """Share of labelled slices drawn from phantoms, where there are any."""
    labelled_group: str | None = "train"
    """Group of splits.json to learn from; for an empty string all that is not held out."""
    unlabelled_group: str | None = None
    """Group of splits.json that is used without its labels; the unlabelled scans when absent."""
    held_out_group: str | None = "val"
    """Group of splits.json that is only evaluated on; none for an empty string."""
    evaluate_every: Count = 1000
    """Steps between evaluations."""
    checkpoint_every: Count = 200
    """Steps between checkpoints."""
    cache_gib: Positive = 4.0
    """Memory that the slices may take; what does not fit is kept on disk."""
    cps: CpsRecipe = CpsRecipe()
    clips: ClipRecipe = ClipRecipe()
    tracks: TrackRecipe | None = None
    """Train on single organs in regions of interest instead of clips of whole slices."""


class InferenceRecipe(Section):
    """How the trained model is used on a whole volume."""

    propagator: str | None = None
    """Name of the propagator's model; without one the reference names every slice."""
    selector: str = "agreement"
    """How guide slices are chosen."""
    sample_every_mm: Positive = 10.0
    """Distance between the slices that the reference looks at."""
    max_guide_gap_mm: Positive = 30.0
    """Distance between guides of one organ at most."""
    memory_every_mm: Positive = 15.0
    """Distance between propagated slices that are remembered."""
    top_k: Count = 20
    """Memory positions that a query reads."""
    opinion_share: Share = 0.5
    """Weight of the reference's own view of a propagated slice; 0 as published, and quicker."""


class WeightsRecipe(Section):
    """Which file holds the weights."""

    file: str
    sha256: str


class Recipe(Section):
    """What a model is."""

    name: Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]
    """Also the name of the weights file, so it holds letters, digits and ``_ . + -`` only."""
    role: Literal["reference", "propagator"]
    about: str = ""
    licence: str = ""
    input: InputRecipe
    organs: dict[str, int]
    """Organ name to id; what the reference tells apart, what the propagator has practised on."""
    networks: tuple[NetworkRecipe, ...]
    """The pair of a reference, or the one network of a propagator."""
    training: TrainingRecipe
    inference: InferenceRecipe = InferenceRecipe()
    weights: WeightsRecipe | None = None
    scores: dict[str, float] = {}
    """Mean DSC of the whole pipeline with these weights on held-out scans, by organ."""

    @property
    def labels(self) -> LabelSet:
        """The organs as a value."""
        return LabelSet(self.organs)

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        wanted = 2 if self.role == "reference" else 1
        if len(self.networks) != wanted:
            raise ValueError(
                f"a {self.role} has {wanted} entries [[networks]], got {len(self.networks)}"
            )
        for entry in self.networks:
            if (entry.kind == "stcn") != (self.role == "propagator"):
                raise ValueError(
                    f"a {self.role} cannot be a network of the kind {entry.kind!r}; a propagator "
                    "is an 'stcn', a reference is a pair of other kinds"
                )
        try:
            numbers = sorted(self.labels.ids.values())
        except LabelError as fault:
            raise ValueError(str(fault)) from fault
        if self.role == "reference" and numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"organ ids must be 1, 2, ... without gaps, got {numbers}")
        if numbers and numbers[-1] >= IGNORE_ID:
            raise ValueError(
                f"organ ids must be below {IGNORE_ID}, the label of what nobody annotated, "
                f"got {numbers[-1]}"
            )
        return self

    def to_json(self) -> str:
        """Write the recipe as one line of JSON, for the header of a weights file."""
        return self.model_dump_json()
