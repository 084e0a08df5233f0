"""A trained model by its name, its recipe or its weights file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from slicekit.checkpoint import Weights, fill, load_weights
from slicekit.checks import suggest
from slicekit.errors import CheckpointError, RecipeError
from slicekit.inference.backend import propagator_by_backend, run_by_backend
from slicekit.inference.building import build_network as build_network
from slicekit.inference.roles import expect_role
from slicekit.inference.sight import Propagator
from slicekit.networks import STCN, Committee
from slicekit.recipes import Recipe, differences, expect_same_view, read_recipe
from slicekit.recipes.finding import bundled as bundled
from slicekit.recipes.finding import model_files, weights_of
from slicekit.runtime import Runtime, pick_runtime

log = logging.getLogger(__name__)

DEFAULT_MODEL = "ct_abdomen_reference"
DEFAULT_PROPAGATOR = "any_propagator"
OWN_MODELS = "models"
"""Folder, where the program runs, in which models are found by name beside the bundled ones."""

Reference = Callable[[Tensor, Tensor | None], tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Model:
    """A reference and, where there is one, the propagator that carries its guides.

    Or a volumetric model, which names a scan by itself.
    """

    recipe: Recipe
    reference: Reference | nn.Module
    """A ``Committee``, or one that OpenVINO runs; of a volumetric model its one network."""
    propagator: Propagator | None
    """An ``STCN``, or one that OpenVINO runs."""
    propagator_recipe: Recipe | None
    sha256: dict[str, str]
    """Model name to the SHA-256 of its tensors."""
    runtime: Runtime

    @property
    def carrier(self) -> Carrier | None:
        """The propagator with all that belongs to it."""
        recipe = self.propagator_recipe
        if self.propagator is None or recipe is None:
            return None
        return Carrier(self.propagator, recipe, self.sha256.get(recipe.name, ""), self.runtime)


@dataclass(frozen=True, eq=False)
class Carrier:
    """A propagator alone."""

    network: Propagator
    recipe: Recipe
    sha256: str
    """Of its tensors."""
    runtime: Runtime

    @property
    def in_regions(self) -> bool:
        """Whether it was trained to follow one organ at a time inside a region of interest."""
        return self.recipe.training.tracks is not None


def load_model(
    name: str | Path = DEFAULT_MODEL,
    runtime: Runtime | None = None,
    *,
    propagator: bool | str | Path = True,
    cache: Path | None = None,
) -> Model:
    """Load a reference and the propagator that its recipe names, or a volumetric model.

    Args:
        name: A bundled model's name, a recipe (``.toml``) or a weights file (``.safetensors``).
        runtime: Where it runs; decided automatically when ``None``.
        propagator: ``True`` takes the one that the reference's recipe names, beside the
            reference's file or bundled; a name or path takes that one; ``False`` takes none, and
            the reference names every slice.
        cache: Where networks converted for OpenVINO are kept; ``machine.user_cache()`` when
            ``None``. Without any the first use of a model takes some seconds more every time.

    Raises:
        RecipeError: No such model, its recipe cannot be meant, or a propagator was named for a
            volumetric model.
        CheckpointError: Weights are missing, damaged, or of another recipe.
        DeviceError: OpenVINO was chosen and cannot run the networks.
    """
    runtime = runtime or pick_runtime()
    reference, recipe, digest = load_network(name, runtime, "reference", "volumetric")
    digests = {recipe.name: digest}
    found = choose_propagator(recipe, name, propagator)
    if recipe.role == "volumetric":
        return Model(recipe, reference, None, None, digests, replace(runtime, backend="torch"))
    if not isinstance(reference, Committee):
        raise CheckpointError(f"{name}: a reference is a committee of networks")
    if found is None:
        return run_by_backend(Model(recipe, reference, None, None, digests, runtime), cache)
    carrier, its_recipe, digest = load_network(found, runtime, "propagator")
    if not isinstance(carrier, STCN):
        raise CheckpointError(f"{found}: a propagator is an STCN")
    expect_same_view(recipe, its_recipe, source=found)
    digests[its_recipe.name] = digest
    model = Model(recipe, reference, carrier, its_recipe, digests, runtime)
    return run_by_backend(model, cache)


def load_propagator(
    name: str | Path = DEFAULT_PROPAGATOR,
    runtime: Runtime | None = None,
    *,
    cache: Path | None = None,
) -> Carrier:
    """Load a propagator alone, to carry what a person drew.

    Args:
        name: A bundled model's name, a recipe (``.toml``) or a weights file (``.safetensors``).
        runtime: Where it runs; decided automatically when ``None``.
        cache: As for ``load_model``.

    Raises:
        RecipeError: No such model, or it is no propagator.
        CheckpointError: Weights are missing, damaged, or of another recipe.
        DeviceError: OpenVINO was chosen and cannot run the network.
    """
    runtime = runtime or pick_runtime()
    network, recipe, digest = load_network(name, runtime, "propagator")
    if not isinstance(network, STCN):
        raise CheckpointError(f"{name}: a propagator is an STCN")
    return Carrier(propagator_by_backend(network, runtime, digest, cache), recipe, digest, runtime)


def find_weights(name: str | Path) -> tuple[Path, Recipe | None]:
    """Find a weights file, and the recipe that asks for it where there is one.

    A name is looked up among the bundled models, then in the folder ``models`` where the program
    runs; weights lie beside their recipe or among the bundled ones.

    Raises:
        RecipeError: There is no such model; the message lists those there are.
    """
    path = Path(name)
    if path.suffix == ".toml":
        recipe_file = path
    elif path.suffix == ".safetensors" or (path.suffix and path.is_file()):
        return path, None  # what is no weights file is refused by its content
    else:
        known = model_files(bundled("models"))
        if str(name) not in known:
            raise RecipeError(f"there is no model {str(name)!r}; {suggest(str(name), known)}")
        recipe_file = known[str(name)]
    recipe = read_recipe(recipe_file)
    return weights_of(recipe, recipe_file, bundled("weights")), recipe


def recipe_of(name: str | Path) -> Recipe:
    """Return the recipe of a model: of its TOML file, or of its weights.

    Raises:
        RecipeError: There is no such model.
        CheckpointError: The weights file is missing or damaged.
    """
    path, recipe = find_weights(name)
    return load_weights(path).recipe if recipe is None else recipe


def choose_propagator(
    recipe: Recipe, name: str | Path, propagator: bool | str | Path
) -> str | Path | None:
    """Return what to load as the propagator of a model; ``None`` for none.

    Args:
        recipe: Of the model.
        name: Of the model, as the user said.
        propagator: As for ``load_model``.

    Raises:
        RecipeError: There is no such propagator, or the model takes none.
    """
    if recipe.role == "volumetric":
        if not isinstance(propagator, bool):
            raise RecipeError(
                f"{recipe.name!r} is volumetric and names every voxel by itself; leave the "
                f"propagator {str(propagator)!r} out"
            )
        return None
    if propagator is not True:
        return propagator or None
    other = recipe.inference.propagator
    return None if other is None else _find_propagator(other, name)


def _find_propagator(propagator: str, reference: str | Path) -> str | Path:
    """Look for a propagator beside the reference's file, then among those bundled."""
    path = Path(reference)
    endings = {".safetensors": (".safetensors", ".toml"), ".toml": (".toml", ".safetensors")}
    for ending in endings.get(path.suffix, ()):
        beside = path.parent / f"{propagator}{ending}"
        if beside.is_file():
            return beside
    if propagator not in model_files(bundled("models")):
        raise RecipeError(
            f"the propagator {propagator!r} of {str(reference)!r} is neither beside it, as "
            f"{propagator}.safetensors, nor bundled; put it there, or do without it "
            "(--no-propagation, propagator=False)"
        )
    if endings.get(path.suffix):
        log.warning("%s: its propagator %s is the bundled one", reference, propagator)
    return propagator


def load_network(name: str | Path, runtime: Runtime, *roles: str) -> tuple[nn.Module, Recipe, str]:
    """Return a network of one of the roles in eval mode, its recipe and its tensors' SHA-256."""
    path, recipe = expect_model(name, *roles)
    weights = load_weights(path)
    recipe = agree(recipe, weights, *roles)
    network = build_network(recipe)
    fill(network, weights.state, source=str(path))
    return runtime.place(network).eval(), recipe, weights.sha256


def expect_model(name: str | Path, *roles: str) -> tuple[Path, Recipe | None]:
    """Find a weights file and its recipe, as ``find_weights``, and refuse what cannot be loaded.

    Raises:
        RecipeError: There is no such model, or it is of another role.
        CheckpointError: Its weights are not there.
    """
    path, recipe = find_weights(name)
    if recipe is None and not path.exists():
        raise CheckpointError(
            f"{path}: there is no such weights file; name one, a recipe or a bundled model: "
            f"{', '.join(model_files(bundled('models')))}"
        )
    if recipe is not None:
        expect_role(recipe, *roles)
    expect_weights(path, name)
    return path, recipe


def expect_weights(path: Path, name: str | Path) -> None:
    """Refuse a model whose weights file, from ``find_weights``, is not there.

    Raises:
        CheckpointError: It is not; the message says how to come by it.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: the weights of {str(name)!r} are not there; train them first, with "
            f"python train.py models/{Path(name).stem}.toml --data DIR --out DIR, and name the "
            "file that comes out"
        )


def agree(recipe: Recipe | None, weights: Weights, *roles: str) -> Recipe:
    """Take the recipe file's word for how to use a model, the header's for what it is.

    Raises:
        RecipeError: It is of none of the roles.
        CheckpointError: The weights are of another recipe.
    """
    expect_role(recipe or weights.recipe, *roles)
    if recipe is None:
        return weights.recipe
    if other := differences(recipe, weights.recipe, "role", "input", "organs", "networks"):
        raise CheckpointError(
            f"{weights.path}: was made for another recipe than {recipe.name!r}: {other}; "
            "train again or name the weights file itself"
        )
    if recipe.weights is not None and recipe.weights.sha256 != weights.sha256:
        raise CheckpointError(
            f"{weights.path}: its tensors have SHA-256 {weights.sha256[:12]}..., the recipe "
            f"{recipe.name!r} asks for {recipe.weights.sha256[:12]}...; they are other weights"
        )
    return recipe
