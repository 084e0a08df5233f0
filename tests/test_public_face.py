"""What a user meets first: the names of the package, its command and its doors."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import slicekit

CHECKOUT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("slicekit")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command with one thread and a wide terminal, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_in_all_can_be_imported() -> None:
    assert {name for name in slicekit.__all__ if getattr(slicekit, name, None) is None} == set()


def test_dir_lists_all_and_nothing_else() -> None:
    assert sorted(dir(slicekit)) == sorted(slicekit.__all__)


def test_type_checkers_and_users_see_the_same_names() -> None:
    tree = ast.parse(Path(slicekit.__file__).read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname: node.module for node in imports for alias in node.names}
    assert typed == slicekit._HOMES


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        _ = slicekit.segmnt


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert slicekit.__version__ == version("slicekit") == project["version"]


def test_import_is_light() -> None:
    heavy = "print([m for m in ('torch', 'numpy', 'cv2') if m in __import__('sys').modules])"
    assert run(sys.executable, "-c", f"import slicekit; {heavy}", cwd=CHECKOUT).strip() == "[]"


def test_works_beside_packages_of_the_user_with_common_names(tmp_path: Path) -> None:
    for name in ("models", "utils", "networks", "data", "losses"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    names = ", ".join(name for name in slicekit.__all__ if name != "__version__")
    said = run(sys.executable, "-c", f"from slicekit import {names}; print('fine')", cwd=tmp_path)
    assert said.strip() == "fine"


def test_command_says_what_it_can_do(tmp_path: Path) -> None:
    said = run(COMMAND, "--help", cwd=tmp_path)
    assert all(
        name in said for name in ("segment", "train", "evaluate", "phantom", "import-weights")
    )


@pytest.mark.parametrize("door", ["infer.py", "train.py"])
def test_doors_open_from_any_folder(door: str, tmp_path: Path) -> None:
    assert "--" in run(sys.executable, CHECKOUT / door, "--help", cwd=tmp_path)


@pytest.mark.parametrize("door", ["infer.py", "train.py"])
def test_doors_are_only_doors(door: str) -> None:
    assert len((CHECKOUT / door).read_text(encoding="utf-8").splitlines()) <= 10
