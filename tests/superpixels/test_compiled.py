"""What numba compiled is kept where it can be, and done without where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import slicekit.superpixels
from slicekit.superpixels import compiled
from slicekit.superpixels.iterative import slic

PACKAGE = Path(slicekit.superpixels.__file__).parent


def square(number: int) -> int:
    """Return the square."""
    return number * number


def test_a_kernel_keeps_its_words() -> None:
    kernel = compiled.Kernel(square)
    assert kernel(12) == 144
    assert (kernel.__name__, kernel.__doc__) == ("square", "Return the square.")


def test_no_folder_to_keep_it_in_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = compiled.numba.njit

    def njit(**options: bool) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    monkeypatch.setattr(compiled.numba, "njit", njit)
    assert compiled.Kernel(square)(12) == 144


@pytest.mark.parametrize("fault", [PermissionError("read-only"), OSError(28, "full"), EOFError()])
def test_a_folder_that_fails_later_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    kernel = compiled.Kernel(square)

    def fail(number: int) -> int:
        raise fault

    monkeypatch.setattr(kernel, "_run", fail)
    assert kernel(12) == 144


def run(script: str, *, cwd: Path | None = None, **more: str) -> str:
    """Run Python in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd, env=os.environ | more, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_install_and_a_home_that_are_read_only_are_no_fault(tmp_path: Path) -> None:
    """Neither ``__pycache__`` nor the home can be a folder: files have their names."""
    copy = tmp_path / "slicekit" / "superpixels"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    home = tmp_path / "home"
    for file in (tmp_path / "slicekit" / "__init__.py", copy / "__pycache__", home):
        file.write_text("")
    (copy / "trial.py").write_text(
        "from slicekit.superpixels.compiled import Kernel\n"
        "@Kernel\n"
        "def square(number):\n"
        "    return number * number\n"
    )
    said = run(
        "import slicekit.superpixels.trial as t; print(t.__file__, t.square(12))",
        HOME=str(home), XDG_CACHE_HOME=str(home), PYTHONPATH=str(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert said.split() == [str(copy / "trial.py"), "144"]


def test_the_first_call_of_a_process_is_quick_once_it_was_compiled() -> None:
    slic(np.zeros((1, 16, 16)), 4)
    said = run(
        "import time, numpy as np\n"
        "from slicekit.superpixels.iterative import slic\n"
        "began = time.process_time()\n"
        "slic(np.zeros((1, 16, 16)), 4, threads=1)\n"
        "print(time.process_time() - began)"
    )
    assert float(said) < 1.0
