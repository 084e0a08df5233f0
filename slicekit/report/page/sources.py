"""What lies beside labels and tells about them, read for a page; what is missing is no fault."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicekit.errors import ReadError
from slicekit.report.batch import outputs_beside
from slicekit.report.journal import read_journals
from slicekit.report.origin import find_scan

_ENDINGS = (".nii.gz", ".nii", ".dcm")


@dataclass(frozen=True)
class CaseSource:
    """One case as its files and the journal tell."""

    name: str
    labels: Path
    side: Mapping[str, Any] = field(default_factory=dict)
    """The sidecar; empty where there is none."""
    organs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Statistics, organ by organ."""
    line: Mapping[str, Any] = field(default_factory=dict)
    """From the journal of a batch."""
    spacing_known: bool = True
    changed: str = ""
    """What to say where labels are no longer as they were made; see ``remeasured``."""

    @property
    def status(self) -> str:
        """What became of it; ``done`` where a sidecar stands, whatever came later."""
        told = str(self.line.get("status", ""))
        return "done" if self.side and told != "refused" else told or "unknown"

    @property
    def scan(self) -> Path | None:
        """The scan that the labels were made of, where it is still to be found."""
        told = self.side if self.side else {"scan": self.line.get("scan")}
        return find_scan(told, self.labels)

    @property
    def warnings(self) -> list[str]:
        """What was mended in the data or is doubtful, as it was told when the labels were made."""
        told = self.side.get("warnings") if self.side else self.line.get("warnings")
        return [str(one) for one in told] if isinstance(told, list) else []

    def present(self) -> list[str]:
        """Organs that were found, whether their volume is known or not."""
        return [
            name
            for name, one in self.organs.items()
            if any(
                isinstance(value := one.get(key), int | float) and value > 0
                for key in ("voxels", "volume_ml")
            )
        ]

    def volumes_ml(self) -> dict[str, float]:
        """Organ to volume, of what was found and where the spacing is known."""
        found = {name: one.get("volume_ml") for name, one in self.organs.items()}
        return {
            name: float(ml) for name, ml in found.items() if isinstance(ml, int | float) and ml > 0
        }

    def seconds(self) -> float | None:
        """How long it took in all."""
        told = self.line.get("seconds")
        if isinstance(told, int | float):
            return float(told)
        stages = self.side.get("seconds")
        if not isinstance(stages, Mapping):
            return None
        return float(sum(one for one in stages.values() if isinstance(one, int | float)))


def read_case(labels: Path, line: Mapping[str, Any] = {}) -> CaseSource:
    """Read what lies beside labels.

    Raises:
        ReadError: A file is there and cannot be read.
    """
    beside = outputs_beside(labels)
    side = read_object(beside.sidecar) if beside.sidecar.is_file() else {}
    stats = read_object(beside.statistics) if beside.statistics.is_file() else {}
    organs = stats.get("organs")
    kept = organs if isinstance(organs, Mapping) else {}
    return CaseSource(
        name=labels.name.removesuffix(_ending(labels)),
        labels=labels,
        side=side,
        organs={str(name): one for name, one in kept.items() if isinstance(one, Mapping)},
        line=line,
        spacing_known=stats.get("spacing_known") is not False,
    )


def read_folder(folder: Path) -> tuple[list[CaseSource], list[str]]:
    """Read every case of a batch: those of the journals, and labels with a sidecar.

    Returns:
        The cases in the order of their names, and what could not be read.
    """
    lines, torn = read_journals(folder)
    cases, troubles = {}, []
    told = {str(line["case"]): line for line in lines if _is_name(str(line["case"]))}
    there = {path.name for path in folder.iterdir() if _ending(path) and path.name[0] != "."}
    labelled = {name for name in there if outputs_beside(folder / name).sidecar.is_file()}
    for name in sorted(labelled | told.keys()):
        try:
            cases[name] = read_case(folder / name, told.get(name, {}))
        except ReadError as fault:
            troubles.append(str(fault))
            stem = name.removesuffix(_ending(Path(name)))
            cases[name] = CaseSource(stem, folder / name, line=told.get(name, {}))
    if torn:
        troubles.append(f"{torn} torn lines of the journal were passed over")
    return list(cases.values()), troubles


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ReadError: It is not readable, or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise ReadError(path, f"is not readable JSON ({fault}); mend or remove it") from fault
    if not isinstance(content, dict):
        raise ReadError(path, "holds no JSON object; mend or remove it")
    return content


def nearest(path: Path, folder: Path) -> Path:
    """Find a file where it was said to be, else as seen from a folder."""
    seen = folder / path
    return seen if seen.exists() and not path.exists() else path


def how_made(sides: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Say how labels were made; where cases differ, every way with its number of cases."""
    ways: dict[str, dict[str, int]] = {}
    for side in sides:
        for key, text in _way(side):
            ways.setdefault(key, {}).setdefault(text, 0)
            ways[key][text] += 1
    return [
        (
            key,
            "; ".join(
                text if len(texts) == 1 else f"{text} ({n} cases)" for text, n in texts.items()
            ),
        )
        for key, texts in ways.items()
    ]


def _way(side: Mapping[str, Any]) -> list[tuple[str, str]]:
    made, weights = side.get("made_with"), side.get("weights_sha256")
    options, command = side.get("options"), side.get("command")
    found = [("model", side.get("model")), ("propagator", side.get("propagator"))]
    if isinstance(weights, Mapping):
        found += [(f"SHA-256 of {name}", value) for name, value in weights.items()]
    found.append(("licence of the weights", side.get("licence")))
    if isinstance(options, Mapping):
        said = [f"{key} {value}" for key, value in options.items() if value not in (None, False)]
        found.append(("options", ", ".join(said) or "as the recipe says"))
    if isinstance(command, Sequence):
        found.append(("command", " ".join(map(str, command))))
    found.append(("ran on", side.get("runtime")))
    if isinstance(made, Mapping):
        found.append(("versions", ", ".join(f"{name} {value}" for name, value in made.items())))
    return [(key, str(value)) for key, value in found if value]


def _ending(path: Path) -> str:
    name = path.name.lower()
    ending = next((end for end in _ENDINGS if name.endswith(end)), "")
    return path.name[len(path.name) - len(ending) :]


def _is_name(case: str) -> bool:
    """Tell whether a case of a journal stays inside the folder."""
    return bool(case) and Path(case).name == case and "\0" not in case
