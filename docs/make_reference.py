"""Write docs/reference/python.md and docs/reference/commands.md from what the code says of itself.

Docstrings are parsed by griffe, which reads the source and runs none of it; commands are those
that typer has built.

    python docs/make_reference.py
    python docs/make_reference.py --check     ends with 1 where a page is not up to date
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import griffe
from typer.models import ArgumentInfo, OptionInfo

from slicekit.cli import app

CHECKOUT = Path(__file__).resolve().parents[1]
REFERENCE = Path(__file__).resolve().parent / "reference"
MADE = "<!-- Made by docs/make_reference.py from the source; change it there. -->"
GROUPS: Mapping[str, Sequence[str]] = {
    "Scans and labels": (
        "read_volume", "read_labels", "write_labels", "write_volume", "Volume", "LabelSet",
        "Window",
    ),
    "Models": ("pick_runtime", "runtime.Runtime", "load_model", "inference.model.Model"),
    "Segment": (
        "segment", "segment_folder", "SegmentOptions", "report.batch_run.Outcome",
        "report.case.CaseFiles",
    ),
    "Draw and propagate": (
        "Session", "inference.session.CarriedGap", "inference.suggest.Suggestion",
        "load_propagator", "inference.model.Carrier", "propagate_folder",
        "report.carrying.Carried",
    ),
    "Few-shot": (
        "find_organs", "load_fewshot", "inference.shots.FewShot",
        "inference.answers.SupportSettings", "inference.fewshot_guides.GuideSettings",
        "inference.fewshot.Found", "inference.fewshot.ChosenGuide",
    ),
    "New organs": (
        "finetune", "FinetuneOptions", "training.finetune.run.Finetuned",
        "training.finetune.pilot.Expectation",
    ),
    "Measure and score": (
        "statistics", "evaluate", "metrics.organs.OrganScore", "evaluate_paths",
        "report.evaluation.EvaluationReport", "report.evaluation.CaseEvaluation",
        "metrics.organs.OrganMean",
    ),
    "Superpixels": (
        "superpixels.iterative.slic", "superpixels.iterative.slic_each",
        "superpixels.merging.merge", "superpixels.body.foreground",
    ),
    "Errors": ("SlicekitError",),
}  # fmt: skip
"""What the page shows: names of ``slicekit``, and by their path the values that those return."""
_SHORT = {"superpixels": "slicekit.superpixels"}
"""Packages from which a name is taken where it is public."""
_HEAD = (
    "What is named with a small letter, and `Volume`, `LabelSet`, `Window`, `Session` and the "
    "options, is imported from `slicekit`; the other classes are what those return. Arrays are "
    "`(z, y, x)`, and `volume.affine` maps `(z, y, x, 1)` to millimetres in RAS+."
)
_COMMANDS_HEAD = (
    "Every command also knows `--quiet`, `--verbose` and `--help`. What exit codes mean, and "
    "which options mean the same everywhere, is said [here](command-line.md)."
)


def python_page() -> str:
    """Return the page about the package."""
    package = griffe.load(
        "slicekit", docstring_parser="google", search_paths=[str(CHECKOUT)], allow_inspection=False
    )
    parts = [
        "# The Python interface",
        MADE,
        _HEAD,
    ]
    for title, names in GROUPS.items():
        parts.append(f"## {title}")
        parts += [block for name in names for block in _object(package, name)]
    module = package["errors"].docstring
    parts += [_plain(section.value) for section in module.parsed if section.kind.value == "text"]
    return "\n\n".join(parts) + "\n"


def _object(package: Any, name: str) -> Iterator[str]:
    found = package[name]
    thing = found.final_target if found.is_alias else found
    top, _, rest = name.partition(".")
    shown = f"{_SHORT[top]}.{rest.rpartition('.')[2]}" if top in _SHORT else name.rpartition(".")[2]
    yield f"### {shown}"
    if thing.is_function:
        yield _signature(thing, shown)
    elif "__init__" in thing.members and not thing.members["__init__"].is_alias:
        yield _signature(thing.members["__init__"], shown, of_class=True)
    yield from _docstring(thing)
    if thing.is_class:
        yield from _members(thing)


def _members(thing: Any) -> Iterator[str]:
    every = {**thing.members, **_inherited(thing)}
    public = [one for name, one in every.items() if not name.startswith("_")]
    filled = "__init__" in thing.members  # else a dataclass, whose fields are its interface
    shown = [one for one in public if one.is_attribute and (one.docstring or not filled)]
    if shown:
        rows = [
            [f"`{one.name}`", f"`{one.annotation}`".replace("|", "\\|"), _first(one)]
            for one in shown
        ]
        yield _table(["attribute", "type", "is"], rows)
    for one in public:
        if one.is_function and one.docstring:
            yield f"#### {thing.name}.{one.name}"
            yield _signature(one, one.name)
            yield from _docstring(one)


def _inherited(thing: Any) -> Mapping[str, Any]:
    """Return the fields that a dataclass has from another; methods are told there."""
    return {
        name: one.final_target
        for name, one in thing.inherited_members.items()
        if "dataclass" in thing.labels and one.final_target.is_attribute
    }


def _first(one: Any) -> str:
    return _line(one.docstring.value) if one.docstring else ""


def _signature(function: Any, name: str, *, of_class: bool = False) -> str:
    words, stars = [], False
    for one in function.parameters:
        if one.name in ("self", "cls"):
            continue
        kind = one.kind.value
        if kind == "keyword-only" and not stars:
            words.append("*")
            stars = True
        default = "" if one.default is None else f" = {one.default}"
        annotation = f": {one.annotation}" if one.annotation else ""
        words.append(f"{one.name}{annotation}{default}")
    answer = "" if of_class else f" -> {function.returns}"
    joined = f"{name}({', '.join(words)}){answer}"
    if len(joined) > 96:
        joined = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){answer}"
    return f"```text\n{joined}\n```"


def _docstring(thing: Any) -> Iterator[str]:
    for section in thing.docstring.parsed if thing.docstring else ():
        kind = section.kind.value
        if kind == "text":
            yield _plain(section.value)
        elif kind in ("parameters", "attributes"):
            rows = [[f"`{one.name}`", _line(one.description)] for one in section.value]
            yield _table(["argument", "is"], rows)
        elif kind in ("returns", "yields"):
            texts = [_line(one.description) for one in section.value]
            yield f"**{kind.capitalize()}** " + " ".join(texts)
        elif kind in ("raises", "warns"):
            rows = [
                [f"`{one.annotation}`" if one.annotation else "", _line(one.description)]
                for one in section.value
            ]
            yield _table([kind, "when"], rows)
        elif kind == "admonition" and section.title == "Example":
            yield f"```pycon\n{section.value.description}\n```"
        elif kind == "admonition":
            yield f"**{section.title}** {_line(section.value.description)}"


def _plain(text: str) -> str:
    """Write reStructuredText's code marks as Markdown's; blocks after a colon stay blocks."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def _line(text: str) -> str:
    return _plain(" ".join(text.split())).replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def commands_page() -> str:
    """Return the page about the commands."""
    parts = [
        "# The commands and their options",
        MADE,
        _COMMANDS_HEAD,
    ]
    for command in app.registered_commands:
        parts += _command(command.name, command.callback)
    return "\n\n".join(parts) + "\n"


def _command(name: str, function: Any) -> Iterator[str]:
    words = inspect.signature(function).parameters.values()
    told = [(word, *get_args(word.annotation)[:2]) for word in words]
    arguments = [one for one in told if isinstance(one[2], ArgumentInfo)]
    options = [
        one
        for one in told
        if isinstance(one[2], OptionInfo) and one[0].name not in ("quiet", "verbose")
    ]
    usage = "".join(
        f" {word.name.upper()}" if word.default is word.empty else f" [{word.name.upper()}]"
        for word, _, _ in arguments
    )
    yield f"## slicekit {name}"
    yield f"```text\nslicekit {name}{usage} [OPTIONS]\n```"
    yield _plain(inspect.getdoc(function) or "")
    if arguments:
        rows = [[f"`{word.name.upper()}`", _line(info.help)] for word, _, info in arguments]
        yield _table(["argument", "is"], rows)
    if options:
        rows = [
            [_spelling(word.name, kind, info), _default(word), _line(info.help)]
            for word, kind, info in options
        ]
        yield _table(["option", "default", "does"], rows)


def _spelling(name: str, kind: Any, option: OptionInfo) -> str:
    """Write every name of an option, with the values that follow it."""
    kinds = [one for one in get_args(kind) if one is not NoneType]
    wanted = kinds[0] if NoneType in get_args(kind) else kind
    long = f"--{name.replace('_', '-')}"
    # beside a type, typer keeps the first name of an option where a default would be
    named = [one for one in (option.default, *(option.param_decls or ())) if isinstance(one, str)]
    if wanted is bool:
        both = named or [f"{long}/--no{long[1:]}"]
        return ", ".join(f"`{one}`" for text in both for one in text.split("/"))
    return ", ".join(f"`{one} {_values(wanted)}`" for one in named or [long])


def _values(kind: Any) -> str:
    words = {int: "NUMBER", float: "NUMBER", Path: "PATH", str: "TEXT"}
    if get_origin(kind) is tuple:
        return " ".join(words[one] for one in get_args(kind))
    if get_origin(kind) is list:
        return f"{words[get_args(kind)[0]]} ..."
    return words[kind]


def _default(word: inspect.Parameter) -> str:
    if word.default is word.empty:
        return "must be said"
    if word.default is None or word.default is False:
        return ""
    return "yes" if word.default is True else f"`{word.default}`"


def main() -> int:
    """Write both pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in (("python.md", python_page()), ("commands.md", commands_page())):
        file = REFERENCE / name
        if check and (not file.exists() or file.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            file.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"not up to date: {', '.join(stale)}; run make docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
