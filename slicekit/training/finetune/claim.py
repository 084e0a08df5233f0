"""Whose a run's folder and a model's name are, asked before anything is computed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from slicekit.errors import DatasetError, RecipeError
from slicekit.inference.model import bundled
from slicekit.io import expect_writable
from slicekit.io.atomic import write_text
from slicekit.recipes import NAME
from slicekit.training.loop import STATE

NOTE = "model.json"
"""File in the folder of a run that says which model it makes."""
DATASET, PILOT, RUN = "dataset", "pilot", "run"
"""Folders in that of a run."""
_ENDINGS = (".toml", ".safetensors")


def claim(name: str, *, data: Path, folder: Path, shelf: Path) -> None:
    """Make sure of a name and of a folder, and note in the folder what it is for.

    Args:
        name: Of the new model.
        data: What the dataset is made from.
        folder: Of the run.
        shelf: Folder that takes the model.

    Raises:
        DatasetError: The data lie where the run writes.
        RecipeError: It is no name, there is such a model that this run has not made, or the
            folder is that of another run.
        WriteError: The model or the note cannot be written.
    """
    if not re.fullmatch(NAME, name) or name.endswith(_ENDINGS):
        raise RecipeError(
            f"a model's name holds letters, digits and _ . + - only and is no file's name, got "
            f"{name!r}; give another --name"
        )
    made = (folder / DATASET).resolve()
    if made in (data.resolve(), *data.resolve().parents):
        raise DatasetError(
            f"{data} is what an earlier run made and would make anew; give what was drawn, or "
            "choose another --out"
        )
    noted = _noted(folder)
    _expect_own(folder, noted, name)
    files = [shelf / f"{name}{ending}" for ending in _ENDINGS]
    taken = [file for file in (*files, bundled("models") / f"{name}.toml") if file.exists()]
    if taken and noted != name:
        raise RecipeError(
            f"there is a model {name!r} already, {taken[0]}; give another --name, or remove it"
        )
    for file in files:
        expect_writable(file, overwrite=True)
    write_text(folder / NOTE, json.dumps(name) + "\n")


def _noted(folder: Path) -> str | None:
    """Return which model a folder is for; nothing where that is not known."""
    try:
        name = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _expect_own(folder: Path, noted: str | None, name: str) -> None:
    """Refuse a folder in which something else would be lost."""
    begun = [stage for stage in (PILOT, RUN) if (folder / stage / STATE).exists()]
    if noted not in (None, name) and begun:
        raise RecipeError(
            f"{folder} is the run of another model, {noted!r}; choose another --out, or give "
            f"--name {noted} to go on with it"
        )
    if noted is None and (begun or (folder / DATASET).exists()):
        raise RecipeError(
            f"{folder} holds a {begun[0] if begun else DATASET} and no {NOTE} that says which "
            "model it is for; choose another --out"
        )
