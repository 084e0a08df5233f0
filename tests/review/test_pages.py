"""Static files come from a table that was filled at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicekit.errors import MissingDependencyError
from slicekit.review.faults import UnknownCaseError
from slicekit.review.pages import FOLDER, Pages


def test_case_40_links_and_paths_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello")
    (folder / "link.js").symlink_to(tmp_path / "secret")
    pages = Pages(folder)
    assert pages.find("")[0] == pages.find("index.html")[0] == b"<p>hello"
    for name in ("link.js", "../secret", str(tmp_path / "secret"), "./index.html", "a\0b"):
        with pytest.raises(UnknownCaseError):
            pages.find(name)


def test_without_niivue_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("")
    pages = Pages(tmp_path)
    assert not pages.has_viewer
    with pytest.raises(UnknownCaseError, match="make web"):
        pages.find("vendor/niivue.js")
    with pytest.raises(MissingDependencyError):
        Pages(tmp_path / "nothing")


def test_every_file_that_the_page_asks_for_is_there() -> None:
    pages = Pages()
    for module in FOLDER.glob("*.js"):
        for line in module.read_text().splitlines():
            if line.startswith("import ") and '"./' in line:
                assert pages.find(line.split('"./')[1].split('"')[0])[1].startswith(
                    "text/javascript"
                )
    for name in ("style.css", "main.js", "icon.svg"):
        assert name in pages.find("")[0].decode() and pages.find(name)


def test_nothing_is_asked_of_other_hosts() -> None:
    for file in FOLDER.glob("*.*"):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text, file
