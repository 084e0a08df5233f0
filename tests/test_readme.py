"""The pages keep what they promise: code compiles, names, options, targets and links exist."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

import slicekit

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[Any]:
    """Return every block of a language, with its page as the test's name."""
    params = []
    for page in PAGES:
        found = _BLOCK.findall(page.read_text(encoding="utf-8"))
        texts = [text for kind, text in found if kind == language]
        for number, text in enumerate(texts, 1):
            params.append(pytest.param(text, id=f"{page.relative_to(CHECKOUT)}-{number}"))
    return params


def commands(*words: str) -> list[tuple[str, ...]]:
    """Return every command in the pages that begins with these words, split up."""
    texts = [str(block.values[0]).replace("\\\n", " ") for block in blocks("bash")]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    inline = [
        text for page in PAGES for text in re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))
    ]
    found = []
    for line in [*lines, *inline]:
        if line.startswith(" ".join(words) + " "):
            parts = shlex.shlex(line, posix=True, punctuation_chars="|>;")
            parts.whitespace_split = True
            found.append(tuple(takewhile(lambda part: not part.startswith(("|", ">", ";")), parts)))
    return sorted(set(found))


@pytest.mark.parametrize("text", blocks("python"))
def test_python_compiles_and_its_names_exist(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slicekit"):
            assert node.module == "slicekit", "pages use the public face only"
            assert {alias.name for alias in node.names} <= set(slicekit.__all__)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "slicekit":
            assert hasattr(slicekit, node.attr), f"slicekit.{node.attr}"


@pytest.mark.parametrize("text", blocks("python"))
def test_python_calls_fit_their_functions(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if getattr(node.func.value, "id", "") == "slicekit":
            function = getattr(slicekit, node.func.attr)
            keywords = {word.arg: None for word in node.keywords if word.arg}
            inspect.signature(function).bind(*node.args, **keywords)


def test_make_targets_exist() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    wanted = {words[1] for words in commands("make")}
    assert {"demo", "test"} <= wanted <= targets


def help_of(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    """Return the help that a command prints, in a terminal wide enough not to cut it."""
    from slicekit import cli

    doors = {"infer.py": cli.infer_door, "train.py": cli.train_door, "slicekit": cli.main}
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    with pytest.raises(SystemExit) as done:
        doors[words[0]]()
    assert done.value.code in (0, None)
    return str(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("start", "help_words"),
    [
        (("python", "infer.py"), ["infer.py"]),
        (("python", "train.py"), ["train.py"]),
        (("slicekit", "evaluate"), ["slicekit", "evaluate"]),
        (("slicekit", "phantom"), ["slicekit", "phantom"]),
        (("slicekit", "import-weights"), ["slicekit", "import-weights"]),
        (("slicekit", "pseudo"), ["slicekit", "pseudo"]),
        (("slicekit", "finetune"), ["slicekit", "finetune"]),
        (("slicekit", "stats"), ["slicekit", "stats"]),
        (("slicekit", "check"), ["slicekit", "check"]),
        (("slicekit", "report"), ["slicekit", "report"]),
        (("slicekit", "models"), ["slicekit", "models"]),
        (("slicekit", "info"), ["slicekit", "info"]),
        (("slicekit", "review"), ["slicekit", "review"]),
    ],
)
def test_options_exist(
    start: tuple[str, ...],
    help_words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    used = {
        word.split("=")[0]
        for command in commands(*start)
        for word in command[len(start) :]
        if re.match(r"--?[a-z]", word)
    }
    said = help_of(help_words, monkeypatch, capsys)
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", said))
    assert used <= known, f"{sorted(used - known)} are not options of {' '.join(help_words)}"


def test_every_command_is_in_the_readme() -> None:
    from slicekit import cli

    named = {command.name or "" for command in cli.app.registered_commands}
    page = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `slicekit ([a-z-]+)` \|", page, re.MULTILINE)) == named


def test_option_table_is_that_of_infer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (CHECKOUT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    used = set(re.findall(r"^\| `(--?[a-z-]+)", page, re.MULTILINE))
    said = help_of(["infer.py"], monkeypatch, capsys)
    assert len(used) >= 8
    assert used <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", said))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("start", [("python", "train.py"), ("python", "infer.py")])
def test_recipes_in_commands_exist(start: tuple[str, ...]) -> None:
    words = {word for command in commands(*start) for word in command}
    recipes = {word for word in words if word.startswith("models/")}
    assert {recipe for recipe in recipes if not (CHECKOUT / recipe).is_file()} == set()


def test_every_decision_is_in_the_index() -> None:
    folder = CHECKOUT / "docs" / "decisions"
    pages = {page.name for page in folder.glob("0*.md")}
    assert pages == set(_LINK.findall((folder / "README.md").read_text(encoding="utf-8")))


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "docs" / "make_reference.py", "--check"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_reference_holds_every_public_name() -> None:
    page = (CHECKOUT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^### (\S+)$", page, re.MULTILINE))
    assert set(slicekit.__all__) - {"__version__"} <= shown
