"""Files that were made to do harm: nothing executes, time and memory are bounded.

The numbers are those of the project's list of fault cases.
"""

from __future__ import annotations

import pickle
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import Trap

import slicekit
from slicekit.checkpoint import load_weights, store
from slicekit.data.cases import find_cases
from slicekit.errors import CheckpointError, ReadError, RecipeError
from slicekit.inference.model import load_model
from slicekit.io import read_volume
from slicekit.recipes import Recipe, read_recipe
from slicekit.runtime import Runtime

RUNTIME = Runtime(torch.device("cpu"), bf16=False, threads=1)


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe]) -> Recipe:
    return make_recipe("propagator")


def refusal(path: Path) -> str:
    """Load weights that must be refused, quickly; the path leads the message."""
    started = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        load_weights(path)
    assert time.perf_counter() - started < 2
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_case_29_malicious_pickle_is_never_opened(tmp_path: Path, name: str, form: str) -> None:
    path, trace = tmp_path / name, tmp_path / "executed"
    if form == "bare":
        path.write_bytes(pickle.dumps(Trap(trace)))
    else:
        torch.save(
            {"a": Trap(trace)},
            path,
            _use_new_zipfile_serialization=form == "zip",
            pickle_protocol=2,
        )
    assert "pickled or zipped checkpoint, which could run code" in refusal(path)
    if name.endswith(".safetensors"):
        with pytest.raises(CheckpointError, match="pickled or zipped"):
            load_model(path, RUNTIME)
    assert not trace.exists()


def test_case_29_zip_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(64 << 20))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_case_29_object_npy_is_never_unpickled(tmp_path: Path) -> None:
    trace, folder = tmp_path / "executed", tmp_path / "slices"
    folder.mkdir()
    np.save(folder / "slice_001.npy", np.array([[Trap(trace)]]), allow_pickle=True)
    for path in (folder, folder / "slice_001.npy"):
        with pytest.raises(ReadError):
            read_volume(path)
    refusal(folder / "slice_001.npy")
    assert not trace.exists()


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 990 + "]" * 990])
def test_case_29_deeply_nested_json_is_refused(tmp_path: Path, recipe: Recipe, deep: str) -> None:
    (tmp_path / "dataset.json").write_text(deep)
    started = time.perf_counter()
    with pytest.raises((ReadError, ValueError), match=r"dataset\.json"):
        find_cases(tmp_path)
    (tmp_path / "dataset.json").write_text(f'{{"labels": {{"liver": {deep}')
    with pytest.raises(ReadError, match=r"dataset\.json"):
        find_cases(tmp_path)
    assert time.perf_counter() - started < 2

    path = tmp_path / "weights.safetensors"
    store(path, {"a": torch.ones(1)}, {"recipe": deep, "card": "{}"})
    assert "recipe" in refusal(path)
    store(path, {"a": torch.ones(1)}, {"recipe": recipe.to_json(), "card": '{"a": ' + deep})
    assert "header cannot be understood" in refusal(path)
    header = f'{{"__metadata__": {deep}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refusal(path)


def test_case_29_yaml_is_never_read_by_any_part(tmp_path: Path) -> None:
    """No module imports a YAML parser, so neither a tag nor an alias bomb is ever expanded."""
    for source in Path(slicekit.__file__).parent.rglob("*.py"):
        assert "yaml" not in source.read_text(encoding="utf-8").lower(), source
    trace, path = tmp_path / "executed", tmp_path / "recipe.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{trace}]\n")
    with pytest.raises(RecipeError, match="is not TOML"):
        read_recipe(path)
    assert not trace.exists()
