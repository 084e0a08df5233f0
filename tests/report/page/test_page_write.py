"""A page needs nothing but itself, is inert whatever its sources hold, and is written whole."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from slicekit.errors import ReadError
from slicekit.report.page import write_report


class Reader(HTMLParser):
    """Gathers tags, and refuses what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    return reader


def pages(batch: Path, tmp_path: Path) -> list[Path]:
    """Write the three kinds of reports."""
    scores = tmp_path / "scores.json"
    one = {"dsc": 0.9, "nsd": 0.8, "hd95_mm": None, "status": "scored"}
    organs = {"liver": one, "<script>alert(1)</script>": one | {"dsc": 0.1, "status": "missed"}}
    cases = [
        {
            "case": f"<a href=http://evil>{n}", "labels_from": "x", "organs": organs,
            "prediction": str(batch / "case_0.nii.gz"), "truth": str(batch / "case_2.nii.gz"),
        }
        for n in range(2)
    ]  # fmt: skip
    means = {name: one | {"tolerance_mm": 2.0, "cases": 2} for name, one in organs.items()}
    content = {"cases": cases, "organs": means, "mean": {"dsc": 0.5}, "failures": {"<x>": "<y>"}}
    scores.write_text(json.dumps(content | {"not_predicted": ["<z>"]}))
    return [
        write_report(path, tmp_path / f"{n}.html")
        for n, path in enumerate((batch / "case_0.nii.gz", batch, scores))
    ]


def expect_even(text: str) -> None:
    """Expect tables whose rows have as many cells as their head, each with what it is sorted by."""
    tables = re.findall(r'<table class="sorts">.*?</table>', text, re.DOTALL)
    assert len(tables) >= 2
    for table in tables:
        head = table.count('<th scope="col">')
        rows = re.findall(r"<tr><td.*?</tr>", table, re.DOTALL)
        assert rows
        assert {row.count("<td") for row in rows} == {head}
        assert table.count("data-key=") == head * len(rows)


def test_pages_refer_to_nothing_outside_and_run_no_strange_script(
    batch: Path, tmp_path: Path
) -> None:
    for page in pages(batch, tmp_path):
        text = page.read_text(encoding="utf-8")
        reader = read(page)
        named = [
            value
            for _, attrs in reader.tags
            for key in ("src", "href", "xlink:href", "action", "data", "srcset", "poster")
            if (value := attrs.get(key)) is not None
        ]
        assert [one for one in named if not one.startswith(("data:image/png;base64,", "#"))] == []
        assert "@import" not in text
        assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
        names = [tag for tag, _ in reader.tags]
        assert names.count("script") == 1
        assert {"a", "iframe", "object", "link", "base", "b>scan"}.isdisjoint(names)
        assert not [key for _, attrs in reader.tags for key in attrs if key.startswith("on")]
        assert "http:" not in text.replace("&lt;a href=http://evil&gt;", "")
        assert "alert(1)" in "".join(reader.text)  # it is shown, as text
        assert "by slicekit 0" in text
        assert names.count("img") >= 1
        assert names.count("svg") >= 1
        expect_even(text)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "does not exist"),
        ("", "is not readable JSON"),
        ("[1]", "holds no JSON object"),
        ("{}", "is no evaluation; name what slicekit evaluate --json printed"),
        ('{"cases": [3], "organs": {}}', r"is no evaluation \(TypeError"),
        ('{"cases": [{"case": 1}], "organs": {}}', r"is no evaluation \(KeyError"),
        ('{"cases": [], "organs": {"a": 3}}', "is no evaluation"),
    ],
)
def test_what_is_no_source_of_a_report_is_told(content: Any, why: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ReadError, match=why):
        write_report(path, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ReadError, match=r"holds neither run\.jsonl nor labels with a sidecar"):
        write_report(tmp_path / "out", tmp_path / "x.html")


def test_an_empty_evaluation_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"cases": [], "organs": {}}')
    page = write_report(tmp_path / "s.json", tmp_path / "x.html")
    assert "0 cases, 0 organs" in page.read_text()
