"""The tables of a recipe that say how it is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slicekit.recipes.section import Count, Positive, Section, Share

Method = Literal["cps", "mean-teacher", "side-by-side", "supervised", "teacher-student"]


class RampRecipe(Section):
    """A loss of unlabelled slices whose weight climbs."""

    weight: Annotated[float, Field(ge=0)] = 0.1
    """Largest weight."""
    ramp_share: Share = 0.4
    """Share of all steps over which the weight climbs to its largest value."""


class CpsRecipe(RampRecipe):
    """How two networks teach one another (cross pseudo supervision, Chen et al. 2021)."""

    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Pseudo labels below this probability are ignored; 0 keeps all."""


class TeacherRecipe(RampRecipe):
    """How a pupil learns from a teacher's probabilities (``mean-teacher``, ``teacher-student``)."""

    weight: Annotated[float, Field(ge=0)] = 10.0
    """Largest weight of the mean squared difference of softmax maps, which is a small number."""
    weights: str | None = None
    """Weights file of the teacher of ``teacher-student``, trained before on the labels alone."""
    keep_share: Share = 0.67
    """Share of the unlabelled slices, the surest, whose labels by the teacher are learnt as true
    ones (Pic and Henon-Just: 800 of 1200)."""


class RoundsRecipe(Section):
    """Rounds of training: label what has no labels, choose, and learn from what was accepted."""

    count: Count = 1
    """1 is a single training, without pseudo labels on disk."""
    rules: tuple[str, ...] | None = None
    """What an organ of a scan must pass to be learnt from, as ``slicekit pseudo --rules`` takes
    them; the usual ones (``training.pseudo.usual_rules``) that can be asked when absent."""
    per_organ: Count | None = None
    """How many scans an organ is learnt from, the best ones; all that pass when absent."""
    steps_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Steps of a later round, as a share of ``training.steps``."""
    rate_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Largest learning rate of a later round, as a share of ``training.learning_rate``."""


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


class FewShotRecipe(Section):
    """Episodes from unlabelled slices: one superpixel is the organ (Ouyang et al. 2020).

    Training reads labels only where ``drawn_share`` is above 0 or ``exclude_classes`` asks.
    """

    superpixels: Literal["slic-merged", "slic"] = "slic-merged"
    """Superpixels joined by how alike neighbours are, at several levels; or as they are."""
    segments: Count = 400
    """Superpixels of a slice."""
    regions: tuple[Count, ...] = (100, 50, 25)
    """Levels of ``slic-merged``: so many regions of a slice; an episode draws one of them."""
    support_query: Literal["same-slice", "neighbours"] = "same-slice"
    """Whether support and query are one slice, each changed by itself, or two side by side."""
    exclude_classes: tuple[str, ...] = ()
    """Slices that hold any of these organs are left out (the field's setting 2)."""
    drawn_share: Share = 0.0
    """Share of the episodes whose organ is one that somebody drew; 1 cuts no superpixels."""
    least_px: Count = 50
    """Pixels that an organ has at least, in support and query, after all changes."""
    most_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the slice that a pseudo organ has at most."""
    background_weight: Positive = 0.05
    """Weight of a pixel of the background in the cross entropy; one of the organ weighs 1."""
    alignment_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the loss of the way back: the query's answer finds the organ in the support."""

    @model_validator(mode="after")
    def _check_regions(self) -> FewShotRecipe:
        if not self.regions or max(self.regions) > self.segments:
            raise ValueError(
                f"regions are made of superpixels: wanted numbers up to segments = "
                f"{self.segments}, got {list(self.regions)}"
            )
        return self


class TrainingRecipe(Section):
    """One training run; everything that changes its result."""

    method: Method = "cps"
    """How a reference learns: two networks teach one another (``cps``), they learn side by side
    from labels alone, one network does (``supervised``), or a pupil follows a teacher. Other roles
    have one way to learn and name none."""
    steps: Count
    batch: Count = 8
    """Labelled slices (reference), clips (propagator) or episodes (few-shot) in a step."""
    batch_unlabelled: Annotated[int, Field(ge=0)] = 0
    """Unlabelled slices in a step of the reference; 0 leaves the second stream out."""
    views: Literal["alike", "weak-strong"] = "alike"
    """Whether pupils see unlabelled slices as teachers do, or with more changes of intensity."""
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest rotation of a labelled slice of the reference, a third of it unlabelled; 180 where
    scans lie as they like in their plane, as short-axis views of the heart do."""
    crop: tuple[Count, Count] = (224, 288)
    """Pixels ``(y, x)`` of a training slice, at the recipe's spacing."""
    patch: tuple[Count, Count, Count] = (128, 128, 128)
    """Voxels ``(z, y, x)`` of a volumetric model's patch."""
    learning_rate: Positive = 1e-3
    encoder_rate_share: Share = 1.0
    """Learning rate of the encoders as a share of the others': below 1 where they were trained
    before, 0 where they are to stay as they are."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """Stochastic gradient descent has a momentum of 0.9."""
    schedule: Literal["cosine", "stairs"] = "cosine"
    """How the learning rate falls after the warm-up: to 1 % by a cosine, or to 95 % every 1000
    steps."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient."""
    warmup_share: Share = 0.03
    """Share of steps over which the learning rate climbs."""
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
    partial: Literal["marginal", "masked", "dice-only"] = "marginal"
    """Loss of labelled slices on which nobody drew some of the organs; see slicekit.losses."""
    exclusion_weight: Annotated[float, Field(ge=0)] = 0.1
    """Marginal loss: weight of what keeps organs nobody drew out of those that were drawn. The
    cross entropy does so already, so it is small."""
    cache_gib: Positive = 4.0
    """Memory that slices and labels may take; what does not fit is kept on disk."""
    cps: CpsRecipe = CpsRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    rounds: RoundsRecipe = RoundsRecipe()
    clips: ClipRecipe = ClipRecipe()
    tracks: TrackRecipe | None = None
    """Train on single organs in regions of interest instead of clips of whole slices."""
    fewshot: FewShotRecipe = FewShotRecipe()
