"""What a page is made of: values that its template shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    key: float | str = ""
    """What the column is sorted by; the text for an empty word."""
    tone: str = ""
    """``good``, ``bad`` or nothing."""

    @property
    def is_number(self) -> bool:
        """Whether it stands on the right."""
        return isinstance(self.key, float)

    @property
    def sorted_by(self) -> str:
        """Return the key as the page's script reads it."""
        return f"{self.key:.9g}" if isinstance(self.key, float) else self.key or self.text


@dataclass(frozen=True)
class Table:
    """A table that sorts itself by the column whose head is clicked."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    about: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Plot:
    """A drawing."""

    title: str
    svg: str
    """From ``plots``, so that what comes from files is escaped in it."""
    about: str = ""
    kind: str = "plot"


@dataclass(frozen=True)
class Picture:
    """A picture with a line below it."""

    png: bytes
    title: str
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures one below the other."""

    title: str
    pictures: Sequence[Picture]
    about: str = ""
    kind: str = "gallery"


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    title: str
    facts: Sequence[tuple[str, str]]
    about: str = ""
    kind: str = "facts"


@dataclass(frozen=True)
class Notes:
    """Sentences."""

    title: str
    lines: Sequence[str]
    about: str = ""
    kind: str = "notes"


Part = Table | Plot | Gallery | Facts | Notes


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    headline: str
    parts: Sequence[Part]


def number(value: object, digits: int = 3, *, tone: str = "") -> Cell:
    """Write a number with so many significant digits; a dash where there is none, sorted last.

    Example:
        >>> number(12.3456).text, number(None).text, number(True).text
        ('12.3', '-', '-')
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return Cell("-", float("-inf"))
    shown = f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return Cell(shown, float(value), tone)


def fixed(value: object, places: int, *, tone: str = "") -> Cell:
    """Write a number with so many decimals, as ``number``."""
    cell = number(value)
    if cell.text == "-" or not isinstance(cell.key, float):
        return cell
    return Cell(f"{cell.key:.{places}f}", cell.key, tone)
