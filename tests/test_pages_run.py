"""What the pages tell to type is typed: every command and every Python block, page by page."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from page_world import (
    draw_on_series,
    furnish,
    lay_out_patients,
    lay_out_people,
    mask_every_slice,
)

from slicekit import machine
from slicekit.inference import model
from slicekit.io import read_labels
from slicekit.recipes import finding
from slicekit.report.batch import outputs_beside, truth_beside
from slicekit.training.finetune import claim, new_recipe

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [
    CHECKOUT / "README.md",
    *(
        page
        for page in sorted((CHECKOUT / "docs").rglob("*.md"))
        if page.name != "numbers.md"  # made from what its commands, of hours, left
    ),
]
EXAMPLES = sorted((CHECKOUT / "examples").glob("*.py"))
NOT_RUN = {
    "make": "makes an environment, or is run before a change goes in",
    "pip": "needs a registry",
    "source": "belongs to the shell",
    "sbatch": "needs Slurm",
    "slicekit review": "serves until it is stopped; tests/review opens it in a browser",
    "slicekit --install-completion": "writes into the shell's settings",
    "slicekit import-weights": "needs published files; tests/published makes such",
}
"""Commands that are not run here, and why."""
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INSTEAD = {"--device cuda": "--device cpu"}
_SHORT = {"train.py": ["--set", "training.steps=2"], "finetune": ["--steps", "2"]}
_FURNISHED: dict[str, Callable[[Path], None]] = {
    "batches.md": lay_out_patients,
    "dicom.md": draw_on_series,
    "getting-started.md": lambda world: (world / "drawn.nii.gz").unlink(),
    "new-organ.md": lay_out_people,
    "statistics.md": mask_every_slice,
}
"""What a page needs besides."""


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Return the language and text of every block that can be run, in order."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def commands_in(text: str) -> Iterator[str]:
    """Yield every command of a block, a line each."""
    for line in text.replace("\\\n", " ").splitlines():
        command = line.partition(" #")[0].strip()
        if command:
            yield command


def why_not(command: str) -> str | None:
    """Return why a command is not run."""
    for start, reason in NOT_RUN.items():
        if command == start or command.startswith(f"{start} "):
            return reason
    return "of that" if "stcn_paper" in command or "mine.safetensors" in command else None


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that every page starts from."""
    folder = tmp_path_factory.mktemp("pages") / "world"
    folder.mkdir()
    furnish(folder, CHECKOUT / "models")
    return folder


@pytest.fixture
def world(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the small models are the ones that are known by name."""
    folder = tmp_path / "world"
    shutil.copytree(furnished, folder)
    monkeypatch.chdir(folder)
    for module in (finding, model, claim, new_recipe):
        monkeypatch.setattr(module, "bundled", lambda kind: furnished / "models")
    monkeypatch.setattr(machine, "user_cache", lambda: furnished.parent / "cache")
    return folder


def run_command(command: str, door: Callable[..., Any]) -> None:
    """Run a command; what an earlier one left under its output's name is gone first."""
    for words, instead in _INSTEAD.items():
        command = command.replace(words, instead)
    command, _, target = (part.strip() for part in command.partition(">"))
    words = shlex.split(command)
    if words[0] == "python":
        words = words[1:]
    for option, value in pairwise(words):
        if option in ("-o", "--out", "--csv", "--fix", "phantom"):
            clear(Path(value))
    more = next((extra for name, extra in _SHORT.items() if name in words[:2]), [])
    done = door(*words, *more)
    assert done.code == 0, f"{command}\n{done.err}"
    if target:
        Path(target).write_text(done.out, encoding="utf-8")


def clear(out: Path) -> None:
    """Remove an output and what belongs to it."""
    if out.is_dir():
        shutil.rmtree(out)
        return
    for path in (out, *outputs_beside(out), truth_beside(out) if out.suffix == ".gz" else out):
        path.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_a_page_can_be_followed(page: Path, world: Path, door: Callable[..., Any]) -> None:
    if page.name in _FURNISHED:
        _FURNISHED[page.name](world)
    for language, text in blocks_of(page):
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                exec(compile(text, str(page), "exec"), {"__name__": "page"})
            continue
        for command in commands_in(text):
            if why_not(command) is None:
                run_command(command, door)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_does_what_it_says(
    example: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = example.read_text(encoding="utf-8")
    (command,) = re.findall(r"^    python (examples/.*)$", text, re.MULTILINE)
    name, *words = shlex.split(command)
    assert name == f"examples/{example.name}"
    more = ["--steps", "2"] if "--steps" in text else []
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    monkeypatch.setattr("sys.argv", [name, *words, *more])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            runpy.run_path(str(example), run_name="__main__")
        except SystemExit as done:
            assert done.code in (0, None)
    said = capsys.readouterr().out
    assert len(said.splitlines()) >= 2
    now = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    assert all(now[path] == time for path, time in before.items()), "an input was changed"
    if example.stem != "evaluation":
        written = read_labels(world / words[-1]) if (world / words[-1]).is_file() else None
        assert written is None or written.array.any()
        assert now.keys() - before.keys()


def test_what_is_not_run_is_still_on_a_page() -> None:
    texts = [text for page in PAGES for language, text in blocks_of(page) if language == "bash"]
    told = [command for text in texts for command in commands_in(text)]
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in told), start
    run = [command for command in told if why_not(command) is None]
    assert len(run) > 60
