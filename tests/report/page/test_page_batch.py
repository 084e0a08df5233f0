"""What a batch's page says: every case, what failed, which is unlike the others."""

from __future__ import annotations

import json
from pathlib import Path

from slicekit.report.page.batch_page import batch_page, rank
from slicekit.report.page.parts import Facts, Gallery, Notes, Page, Table
from slicekit.report.page.sources import read_folder


def part(page: Page, title: str) -> object:
    return next(one for one in page.parts if one.title == title)


def rows(table: object) -> list[list[str]]:
    assert isinstance(table, Table)
    return [[cell.text for cell in row] for row in table.rows]


def test_every_case_has_a_line_and_faults_come_first(batch: Path) -> None:
    told: list[tuple[str, int, int]] = []
    page = batch_page(batch, progress=lambda *words: told.append(words))
    assert page.headline == "6 of 8 scans are done, 1 failed; 1.5 s a scan."
    first = page.parts[0]
    assert isinstance(first, Notes)
    assert (first.title, list(first.lines)) == ("What went wrong", ["bad<img>: <u>no</u>"])
    cases = {row[0]: row for row in rows(part(page, "Case by case"))}
    assert len(cases) == 8
    assert cases["case_0"][1:6] == ["done", "1.5", "345.6", "-", "2"]
    assert cases["bad<img>"][1] == "failed"
    assert cases["late"][1] == "stopped"
    organs = rows(part(page, "Organ by organ"))
    # 10 x 10 x 4 voxels of 0.02 ml, 2 x 2 x 4 in the odd case
    assert organs[0] == ["liver", "6", "0.32", "8", "9.68", "0"]
    assert organs[1][1] == "5"
    how = part(page, "How it was made")
    assert isinstance(how, Facts)
    facts = dict(how.facts)
    assert facts["model"] == "toy"
    assert facts["SHA-256 of toy"] == "ab" * 32
    assert facts["command"] == "infer.py <b>scan</b>"
    assert told[-1] == ("pictures", 6, 6)


def test_the_odd_one_is_the_most_unusual(batch: Path) -> None:
    page = batch_page(batch)
    odd, usual = part(page, "The most unusual"), part(page, "The most usual")
    assert isinstance(odd, Gallery)
    assert isinstance(usual, Gallery)
    assert odd.pictures[0].title == "odd"
    assert "odd" not in [one.title for one in usual.pictures]
    assert all(one.png.startswith(b"\x89PNG") for one in (*odd.pictures, *usual.pictures))


def test_certainty_ranks_where_all_cases_tell_it(batch: Path) -> None:
    cases, _ = read_folder(batch)
    done = [case for case in cases if case.status == "done"]
    assert rank(done).best == "The most usual"
    assert rank(done[:3]).figures == {}  # too few to say what is usual
    for n, case in enumerate(done):
        stats = case.labels.with_name(f"{case.name}_stats.json")
        content = json.loads(stats.read_text())
        for one in content["organs"].values():
            one["certainty"] = n / 10
        stats.write_text(json.dumps(content))
    again, _ = read_folder(batch)
    ranking = rank([case for case in again if case.status == "done"])
    assert (ranking.best, ranking.worst) == ("The surest", "The least sure")
    assert min(ranking.figures, key=ranking.figures.__getitem__) == "case_0"


def test_a_scan_that_has_gone_and_damaged_files_cost_no_more_than_themselves(batch: Path) -> None:
    (batch.parent / "scans" / "odd.nii.gz").unlink()
    (batch / "case_1_stats.json").write_text("{")
    (batch / "case_2.json").write_text("[]")
    with (batch / "run.jsonl").open("a") as stream:
        stream.write('{"case": "../../x.nii.gz", "at": "9"}\n{"case": "half')
    page = batch_page(batch)
    names = [row[0] for row in rows(part(page, "Case by case"))]
    assert len(names) == 8  # a name that leaves the folder is no case
    unread = part(page, "What could not be read")
    assert isinstance(unread, Notes)
    assert len(unread.lines) == 3
    assert "1 torn lines" in unread.lines[-1]
    gone = [
        line for one in page.parts if isinstance(one, Notes) for line in one.lines
        if line.startswith("odd: there is no picture")
    ]  # fmt: skip
    assert len(gone) == 1


def test_a_folder_without_a_journal_is_a_batch_too(batch: Path) -> None:
    (batch / "run.jsonl").unlink()
    assert batch_page(batch).headline == "6 of 6 scans are done; 1.5 s a scan."
