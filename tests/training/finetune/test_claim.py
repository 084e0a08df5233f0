"""A run takes no name and no folder that is another's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.errors import DatasetError, RecipeError, WriteError
from slicekit.training.finetune.claim import claim


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """Claim a name; data, run and shelf lie side by side."""

    def asked(name: str = "mine", *, data: str = "data", shelf: str = "models") -> None:
        claim(name, data=tmp_path / data, folder=tmp_path / "run", shelf=tmp_path / shelf)

    return asked


def begin(folder: Path) -> None:
    """Leave what a training leaves."""
    folder.mkdir(parents=True)
    (folder / "state.safetensors").touch()


def test_a_new_name_is_noted_and_nothing_else_is_written(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    ask()
    assert json.loads((tmp_path / "run" / "model.json").read_text()) == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    ask()  # again, as after an interruption


@pytest.mark.parametrize("ending", [".toml", ".safetensors"])
def test_the_name_of_another_model_is_refused_and_the_runs_own_is_not(
    ending: str, ask: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "models" / f"mine{ending}"
    file.parent.mkdir()
    file.touch()
    with pytest.raises(RecipeError, match=f"there is a model 'mine' already, .*mine{ending}"):
        ask()
    file.unlink()
    ask()
    file.touch()  # what the run has made
    ask()


def test_the_name_of_a_bundled_model_is_refused(ask: Callable[..., Any]) -> None:
    with pytest.raises(RecipeError, match="there is a model 'any_propagator' already"):
        ask("any_propagator")


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "x.toml", "x.safetensors", "x\n"])
def test_a_name_that_cannot_be_a_file_is_refused(
    name: str, ask: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="give another --name"):
        ask(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", ["run/dataset", "run/dataset/inside"])
def test_data_that_the_run_would_replace_are_refused(
    data: str, ask: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / data).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"would make anew; .* choose another --out"):
        ask(data=data)


def test_a_folder_of_something_else_is_refused(ask: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "run" / "dataset").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"holds a dataset and no model.json"):
        ask()
    begin(tmp_path / "run" / "pilot")
    with pytest.raises(RecipeError, match=r"holds a pilot and no model.json"):
        ask()


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_a_damaged_note_says_nothing(text: str, ask: Callable[..., Any], tmp_path: Path) -> None:
    note = tmp_path / "run" / "model.json"
    note.parent.mkdir()
    note.write_bytes(text.encode(errors="surrogateescape"))
    ask()
    assert json.loads(note.read_text()) == "mine"
    begin(tmp_path / "run" / "run")
    note.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RecipeError, match=r"no model.json that says which"):
        ask()


def test_the_run_of_another_model_is_refused_once_it_has_begun(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    ask("first")
    ask("second")  # a slip of the pen: nothing was trained
    begin(tmp_path / "run" / "pilot")
    with pytest.raises(RecipeError, match="the run of another model, 'second'"):
        ask("third")
    ask("second")


def test_a_shelf_that_cannot_be_written_is_refused_first(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(WriteError, match="is not a folder"):
        ask()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WriteError, match="symbolic link"):
        ask(shelf="elsewhere")
    assert not (tmp_path / "run").exists()
