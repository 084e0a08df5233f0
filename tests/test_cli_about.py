"""info and models from the command line, and what the command line does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit import __version__

HEAVY = ("torch", "numba", "cv2", "scipy", "matplotlib", "pydantic", "monai", "nibabel", "numpy")
COMMANDS = (
    "segment", "propagate", "fewshot", "superpixels", "train", "pseudo", "queue", "evaluate",
    "stats", "check", "convert", "phantom", "import-weights", "models", "info",
)  # fmt: skip
COMMAND = "import sys; sys.argv[0] = 'slicekit'; from slicekit.cli import main; main()"
TOLD = """
import sys, json, atexit
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
"""


def loaded(*words: str | Path, cwd: Path) -> tuple[str, set[str]]:
    """Run a command in a process of its own; return what it printed and what it imported."""
    done = subprocess.run(
        [sys.executable, "-c", TOLD + COMMAND, *map(str, words)],
        capture_output=True, text=True, check=False, cwd=cwd, timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    said, modules = loaded("--help", cwd=tmp_path)
    assert {command for command in COMMANDS if command not in said} == set()
    assert {*HEAVY} & modules == set()


@pytest.mark.parametrize("command", ["segment", "train", "stats", "check"])
def test_the_help_of_a_command_imports_nothing_heavy(command: str, tmp_path: Path) -> None:
    said, modules = loaded(command, "--help", cwd=tmp_path)
    assert f"slicekit {command}" in said
    assert {*HEAVY} & modules <= {"pydantic"}  # by which typer itself reads words


def test_info_needs_no_torch(tmp_path: Path) -> None:
    said, modules = loaded("info", "--json", cwd=tmp_path)
    told = json.loads(said)
    assert told["slicekit"] == __version__
    assert told["packages"]["torch"]
    assert told["auto"]["device"] in ("cpu", "cuda")
    assert {*HEAVY} & modules <= {"numpy", "pydantic"}


def test_models_needs_no_torch(tmp_path: Path) -> None:
    said, modules = loaded("models", "--json", cwd=tmp_path)
    assert {"ct_abdomen_reference", "any_propagator"} <= {one["name"] for one in json.loads(said)}
    assert {*HEAVY} & modules <= {"numpy", "pydantic"}


def test_both_speak_to_people_too(door: Callable[..., Any]) -> None:
    told = door("slicekit", "info")
    assert (told.code, told.err) == (0, "")
    assert f"slicekit    {__version__}" in told.out
    listed = door("slicekit", "models")
    assert (listed.code, listed.err) == (0, "")
    assert "Not a medical device" in listed.out


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completed(words: str, index: int) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND], capture_output=True, text=True, check=False,
            cwd=tmp_path, timeout=60,
            env=os.environ | {
                "_SLICEKIT_COMPLETE": "complete_bash", "COMP_WORDS": words,
                "COMP_CWORD": str(index), "PYTHONPATH": str(Path(__file__).parents[1]),
            },
        )  # fmt: skip
        return set(done.stdout.split())

    assert completed("slicekit s", 1) == {"segment", "superpixels", "stats"}
    assert completed("slicekit check --f", 2) == {"--fix"}


def test_completion_can_be_shown_and_installed(door: Callable[..., Any]) -> None:
    said = door("slicekit", "--help").out
    assert "--install-completion" in said
    assert "--show-completion" in said


def test_the_version_is_told_without_a_command(tmp_path: Path) -> None:
    said, modules = loaded("--version", cwd=tmp_path)
    assert said == f"{__version__}\n"
    assert not modules & set(HEAVY)
    done = subprocess.run(
        [sys.executable, "-m", "slicekit", "--version"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, said)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("slicekit segment --model ct_abdomen_r", {"ct_abdomen_reference"}),
        ("slicekit fewshot --model abdomen_", {"abdomen_ct_fewshot", "abdomen_mr_fewshot"}),
        ("slicekit segment --backend o", {"openvino"}),
        ("slicekit prop", {"propagate"}),
    ],
)
def test_a_shell_completes_models_and_choices(
    words: str, offered: set[str], tmp_path: Path
) -> None:
    asked = {
        "_SLICEKIT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
        env=os.environ | asked,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered, done.stderr
