"""Fine-tuning: drawn scans in, a recipe and weights out that are used by name.

The first minutes are a pilot, which tells what to expect; the training proper follows. All of it
goes on where it was interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicekit.checkpoint import load_weights, save_weights
from slicekit.data.drawn import find_drawn
from slicekit.data.intensity import holds_hu
from slicekit.errors import RecipeError
from slicekit.inference.model import expect_weights, find_weights, recipe_of
from slicekit.io import FolderSource, read_volume
from slicekit.io.atomic import write_text
from slicekit.recipes import Recipe, WeightsRecipe, change_recipe, recipe_to_toml
from slicekit.runtime import Runtime
from slicekit.training.finetune.claim import DATASET, PILOT, RUN, claim
from slicekit.training.finetune.dataset import NewDataset, make_dataset
from slicekit.training.finetune.new_recipe import Scans, expect_tunable, new_recipe, usual_name
from slicekit.training.finetune.pilot import Expectation, fly_pilot
from slicekit.training.finished import expect_learnt_from, finished_weights
from slicekit.training.loop import STATE
from slicekit.training.material import gather
from slicekit.training.run import prepare_network, train_on, write_weights

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told the stage, steps done and steps in all."""


@dataclass(frozen=True)
class FinetuneOptions:
    """What a user may say about fine-tuning."""

    organs: tuple[str, ...] = ()
    """Names, or ``NAME=VALUE`` of masks; all that a dataset names where there are none."""
    name: str | None = None
    """Of the new model; after its organs for ``None``."""
    steps: int | None = None
    """As usual for the role for ``None``."""
    few_slices: bool | None = None
    """Whether only slices that show an organ were looked at; found out for ``None``."""
    pilot: bool = True
    """Whether a short training tells first what to expect."""
    changes: tuple[str, ...] = ()
    """``KEY=VALUE`` of the recipe."""


@dataclass(frozen=True)
class Finetuned:
    """What came of it."""

    name: str
    recipe: Path
    """``NAME.toml``; its folder also holds the weights."""
    weights: Path
    expectation: Expectation | None
    """``None`` where nothing could be kept apart."""
    scores: dict[str, float]
    """Last scores on the held-out scans; empty where there are none."""


def finetune(
    data: str | Path,
    *,
    start: str | Path,
    out: str | Path,
    models: str | Path,
    runtime: Runtime,
    options: FinetuneOptions = FinetuneOptions(),
    progress: Progress = lambda stage, done, total: None,
    told: Callable[[Expectation], object] = lambda said: None,
) -> Finetuned:
    """Teach a trained model new organs from a handful of drawn scans.

    The encoders are kept and go on slowly; a reference's head is new, but for organs that it knew.

    Args:
        data: As ``find_drawn`` takes it.
        start: The model to go on from: a name, a recipe or a weights file.
        out: Folder of the run; one that was interrupted goes on from what lies there, and one
            that is done gives the same model again.
        models: Folder that takes ``NAME.toml`` and ``NAME.safetensors``.
        runtime: Device, precision and threads.
        options: What the user said.
        progress: Told about every step.
        told: Told what to expect as soon as that is known; a warning says where it cannot be.

    Raises:
        DatasetError: Nothing is drawn, or the dataset cannot be meant.
        RecipeError: There is no such model, its kind cannot be fine-tuned, or the new name is
            that of another model.
        CheckpointError: Weights are missing or damaged, or ``out`` holds another run.
        ReadError, GeometryError, LabelError: A file cannot be read or does not fit.
        WriteError: Something cannot be written.
        Interrupted: A signal came; the state was saved first.
    """
    folder, shelf = Path(out), Path(models)
    recipe, made = _lay_out(Path(data), start, folder, shelf, options)
    material = gather(recipe, [made.folder], judged_otherwise=True)  # or not at all, as asked for
    run, said = folder / RUN, None
    if (done := finished_weights(recipe, run)) is not None:
        expect_learnt_from(done, material)
        kept, described = _keep(done.path, recipe, shelf, expected=None)
        return Finetuned(recipe.name, described, kept, None, done.card["scores"])
    if options.pilot:
        said = fly_pilot(
            material, recipe, made.organs, out=folder / PILOT, runtime=runtime,
            progress=lambda done, total: progress("pilot", done, total),
        )  # fmt: skip
    if said is not None:
        told(said)
    average, scores = train_on(
        material, prepare_network(recipe, run), recipe, out=run, runtime=runtime,
        progress=lambda done, total: progress("training", done, total),
    )  # fmt: skip
    file = write_weights(average, material, recipe, scores, out=run, runtime=runtime)
    kept, described = _keep(file, recipe, shelf, expected=said)
    return Finetuned(recipe.name, described, kept, said, scores)


def _lay_out(
    data: Path, start: str | Path, folder: Path, shelf: Path, options: FinetuneOptions
) -> tuple[Recipe, NewDataset]:
    """Make the dataset and the recipe, once it is sure that the model can be made and kept."""
    base = recipe_of(start)
    expect_tunable(base)
    drawn = find_drawn(data, options.organs)
    name = options.name or usual_name(drawn.organs, base.role)
    claim(name, data=data, folder=folder, shelf=shelf)
    going_on = [folder / RUN / STATE, folder / RUN / f"{name}.safetensors"]
    if not any(file.exists() for file in going_on):  # else it has its weights there
        expect_weights(find_weights(start)[0], start)
    made = make_dataset(drawn, folder / DATASET, few_slices=options.few_slices)
    recipe = new_recipe(
        base, start=start, name=name, organs=made.organs, scans=_look(made), steps=options.steps
    )
    return _changed(recipe, options.changes), made


def _changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Change a recipe as the user says, but for its name."""
    changed = change_recipe(recipe, changes)
    if changed.name != recipe.name:
        raise RecipeError(f"--set name={changed.name}: say it with --name")
    return changed


def _look(made: NewDataset) -> Scans:
    image = read_volume(made.first_image)
    picture = isinstance(image.source, FolderSource) and image.source.gray_range is None
    return Scans(
        holds_hu=None if picture else holds_hu(image),
        unlabelled=bool(made.unlabelled),
        held_out=len(made.held_out),
    )


def _keep(
    file: Path, recipe: Recipe, shelf: Path, *, expected: Expectation | None
) -> tuple[Path, Path]:
    """Put weights and recipe where models are found by name; the recipe last."""
    weights = load_weights(file)
    card = weights.card
    target, described = shelf / file.name, shelf / f"{recipe.name}.toml"
    if expected is not None:
        card = {**card, "pilot": {"steps": expected.steps, "dsc": expected.dsc}}
    elif target.is_file():  # what the pilot of an earlier start said
        card = load_weights(target).card | card
    sha256 = save_weights(target, weights.state, recipe, card=card)
    entry = WeightsRecipe(file=target.name, sha256=sha256)
    write_text(described, recipe_to_toml(recipe.model_copy(update={"weights": entry})))
    log.info("wrote %s and %s", described, target)
    return target, described
