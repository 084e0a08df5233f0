"""From a path to a page: what the path is, and one file of HTML that needs no other."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader

from slicekit.errors import ReadError
from slicekit.inference.segmentation import Progress
from slicekit.io.atomic import write_text
from slicekit.report.batch import outputs_beside
from slicekit.report.journal import journals_in
from slicekit.report.made import versions
from slicekit.report.page.batch_page import batch_page
from slicekit.report.page.case_page import case_page
from slicekit.report.page.evaluation_page import evaluation_page, is_evaluation
from slicekit.report.page.parts import Page
from slicekit.report.page.sources import read_object


def write_report(path: Path, out: Path, *, progress: Progress | None = None) -> Path:
    """Write the report of a case, of a batch or of an evaluation as one HTML file.

    Args:
        path: Labels with their sidecar, a folder of labels, or a file with what
            ``slicekit evaluate --json`` printed.
        out: The page; an existing one is replaced.
        progress: Told about every picture.

    Returns:
        ``out``.

    Raises:
        ReadError: The path is none of these, or is damaged.
        WriteError: The page cannot be written.
    """
    text = render(make_page(path, progress=progress))
    # names may hold bytes that are no text
    return write_text(out, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def make_page(path: Path, *, progress: Progress | None = None) -> Page:
    """Gather what a report shows, as ``write_report``."""
    if not path.exists():
        raise ReadError(path, "does not exist; name labels, a folder of them or an evaluation")
    if path.is_dir() and (journals_in(path) or not outputs_beside(path).sidecar.is_file()):
        return batch_page(path, progress=progress)
    if path.suffix.lower() == ".json":
        content = read_object(path)
        if is_evaluation(content):
            return evaluation_page(path, content, progress=progress)
        raise ReadError(
            path,
            "is no evaluation; name what slicekit evaluate --json printed, or the labels "
            "themselves and not the JSON beside them",
        )
    return case_page(path)


def render(page: Page) -> str:
    """Write a page as HTML; everything that comes from files is escaped."""
    template = Environment(
        loader=PackageLoader("slicekit.report", "templates"), autoescape=True
    ).get_template("report.html.j2")
    return template.render(
        page=page,
        picture=lambda png: base64.b64encode(png).decode("ascii"),
        written=datetime.now().astimezone().isoformat(" ", "seconds"),
        versions=", ".join(f"{name} {value}" for name, value in versions().items()),
    )
