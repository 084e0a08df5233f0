"""Write docs/numbers.md from benchmarks/results: nothing on that page is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results_io import RESULTS, write_text

PAGE = RESULTS.parents[1] / "docs" / "numbers.md"

_HEAD = """\
# Numbers

Made by `make numbers` from `benchmarks/results`; every figure stands beside the command that
measures it again and the machine it was measured on. DSC is from 0 to 1. Scores on a handful of
cases say which of two methods is ahead, not how well either will do on your scans.
"""
_NOTHING = "\nNothing has been measured yet.\n"


def numbers_page(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the whole page for results as ``write_result`` keeps them, in the order given."""
    sections = [_section(result) for result in results]
    return _HEAD + ("".join(sections) or _NOTHING)


def read_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Read every result of a folder, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _section(result: Mapping[str, Any]) -> str:
    """Return one benchmark: figures, table, notes, command, machine."""
    parts = [f"\n## {result['title']}\n"]
    if result["figures"]:
        parts.append(_table(["figure", "value"], result["figures"].items()))
    if rows := result["rows"]:
        parts.append(_table(list(rows[0]), (row.values() for row in rows)))
    parts += [f"{note}\n" for note in result["notes"]]
    parts.append(f"```bash\n{result['command']}\n```\n")
    parts.append(f"Measured {result['date']} on {result['machine']}.\n")
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table with a line break at its end."""
    lines = [[_cell(word) for word in row] for row in rows]
    ruled = [[word.replace("_", " ") for word in head], ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(line) + " |\n" for line in ruled)


def _cell(value: Any) -> str:
    """Return one cell as text; a missing number is a dash."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("_", " ")


def main() -> None:
    """Write the page."""
    print(f"wrote {write_text(PAGE, numbers_page(read_results()))}")


if __name__ == "__main__":
    main()
