"""The tables of a recipe: every key, its unit and its default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slicekit.checks import suggest
from slicekit.errors import LabelError
from slicekit.labels import IGNORE_ID, LabelSet
from slicekit.recipes.section import Count, Positive, Section, Share
from slicekit.recipes.training_tables import TrainingRecipe
from slicekit.windows import PRESETS, Window

NAME = r"^\w[\w.+-]*$"
"""What a model may be called: it is the name of its files, too."""
ROLES = {"alpnet": "fewshot", "dynunet": "volumetric", "stcn": "propagator"}
"""Kinds of network that are of one role only."""


class InputRecipe(Section):
    """What a slice looks like to the networks."""

    modality: Literal["CT", "MR", "any"] = "CT"
    """CT intensities are HU. MR has no unit: 0 and 1 are two percentiles of the volume. ``any``
    takes HU as they are and stretches all else over the range of the windows."""
    windows: str | tuple[tuple[float, float], ...]
    """A preset's name, or three ``[low, high]`` ranges in HU (MR: in [0, 1]): the channels. One
    range for a volumetric model."""
    spacing_mm: Positive
    """In-plane pixel size at which the networks work; of a volumetric model along all axes."""
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
        elif len(self.windows) not in (1, 3) or any(low >= high for low, high in self.windows):
            raise ValueError(
                "wanted three [low, high] ranges in HU (one for a volumetric model), got "
                f"{self.windows}"
            )
        return self


class NetworkRecipe(Section):
    """One network, by the names of ``slicekit.networks``."""

    kind: str
    preset: str = "small"
    """How large; the kind ``smp`` has none."""
    architecture: str | None = None
    """Of the kind ``smp``: a network of segmentation-models-pytorch, such as ``FPN``."""
    encoder: str | None = None
    """Of the kind ``smp``: such as ``resnet18`` or, with ``tu-`` in front, any of timm."""
    start: str | None = None
    """Weights file that its training starts from, as far as it fits; random when absent."""

    @model_validator(mode="after")
    def _check_names(self) -> NetworkRecipe:
        named = self.architecture is not None, self.encoder is not None
        if self.kind == "smp" and not all(named):
            raise ValueError(
                "the kind 'smp' needs both an architecture and an encoder, such as "
                "architecture = 'FPN' and encoder = 'resnet18'"
            )
        if self.kind == "smp" and self.preset != type(self).model_fields["preset"].default:
            raise ValueError(f"the kind 'smp' has no presets, got {self.preset!r}; leave it out")
        if self.kind != "smp" and any(named):
            raise ValueError(
                f"the kind {self.kind!r} has presets, not an architecture and an encoder; use the "
                "kind 'smp' for those"
            )
        return self


class InferenceRecipe(Section):
    """How the trained model is used on a whole volume."""

    propagator: str | None = None
    """Name of the propagator's model; without one the reference names every slice. A few-shot
    model's guides are carried by it."""
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
    coarse_spacing_mm: Positive = 2.0
    """Volumetric: voxel size where the memory does not hold a scan at the model's own."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Volumetric: share of a patch that lies on its neighbour."""


class WeightsRecipe(Section):
    """Which file holds the weights."""

    file: str
    sha256: str


class Recipe(Section):
    """What a model is."""

    name: Annotated[str, Field(pattern=NAME)]
    """Also the name of the weights file, so it holds letters, digits and ``_ . + -`` only."""
    role: Literal["reference", "propagator", "volumetric", "fewshot"]
    about: str = ""
    licence: str = ""
    input: InputRecipe
    organs: dict[str, int]
    """Organ name to id; what the reference tells apart, what the propagator has practised on. A
    few-shot model learns no organs: there may be none."""
    networks: tuple[NetworkRecipe, ...]
    """The committee of a reference, one to three; or the one network of another role."""
    training: TrainingRecipe
    inference: InferenceRecipe = InferenceRecipe()
    weights: WeightsRecipe | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    """Mean DSC of the whole pipeline with these weights on held-out scans, by organ."""

    @property
    def labels(self) -> LabelSet:
        """The organs as a value."""
        return LabelSet(self.organs)

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        most, wanted = (3, "1 to 3 entries") if self.role == "reference" else (1, "1 entry")
        if not 1 <= len(self.networks) <= most:
            raise ValueError(f"a {self.role} has {wanted} [[networks]], got {len(self.networks)}")
        for entry in self.networks:
            if ROLES.get(entry.kind, "reference") != self.role:
                raise ValueError(
                    f"a {self.role} cannot be a network of the kind {entry.kind!r}; a propagator "
                    "is an 'stcn', a volumetric model a 'dynunet', a few-shot model an 'alpnet', a "
                    "reference is made of others"
                )
        channels = 1 if self.role == "volumetric" else 3
        if len(self.input.three_windows) != channels:
            raise ValueError(
                f"a {self.role} sees {channels} window(s), got {len(self.input.three_windows)}"
            )
        if self.role == "volumetric" and self.inference.propagator is not None:
            raise ValueError(
                "a volumetric model names every voxel by itself, so it has no "
                f"inference.propagator, got {self.inference.propagator!r}"
            )
        if self.role == "fewshot" and self.training.phantoms:
            raise ValueError(
                "a few-shot model learns from scans alone; set training.phantoms = 0, got "
                f"{self.training.phantoms}"
            )
        self._check_method()
        if self.role == "propagator" and self.training.rounds.count > 1:
            raise ValueError(
                "a propagator names no organs, so it cannot label scans for a further round; set "
                f"training.rounds.count to 1, got {self.training.rounds.count}"
            )
        try:
            numbers = sorted(self.labels.ids.values())
        except LabelError as fault:
            raise ValueError(str(fault)) from fault
        if self.role != "propagator" and numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"organ ids must be 1, 2, ... without gaps, got {numbers}")
        if numbers and numbers[-1] >= IGNORE_ID:
            raise ValueError(
                f"organ ids must be below {IGNORE_ID}, the label of what nobody annotated, "
                f"got {numbers[-1]}"
            )
        return self

    def _check_method(self) -> None:
        """Refuse a method that cannot be meant of such a role or so many networks."""
        if self.role != "reference":
            if "method" in self.training.model_fields_set:
                raise ValueError(
                    f"training.method says how a reference learns, and a {self.role} learns in one "
                    f"way only; leave it out, got {self.training.method!r}"
                )
            return
        wanted = {"cps": (2,), "supervised": (1,)}.get(self.training.method, (1, 2, 3))
        if len(self.networks) not in wanted:
            raise ValueError(
                f"training.method = {self.training.method!r} is of {wanted[0]} [[networks]], got "
                f"{len(self.networks)}; cps takes two, supervised one, side-by-side any number"
            )
        if self.training.method == "mean-teacher" and not self.training.batch_unlabelled:
            raise ValueError(
                "training.method = 'mean-teacher' learns from unlabelled slices; set "
                "training.batch_unlabelled to 1 or more"
            )
        if self.training.method == "teacher-student" and not self.training.teacher.weights:
            raise ValueError(
                "training.method = 'teacher-student' needs training.teacher.weights, the weights "
                "file of a teacher trained before"
            )

    def to_json(self) -> str:
        """Write the recipe as one line of JSON, for the header of a weights file."""
        return self.model_dump_json()
