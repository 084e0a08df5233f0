"""The table and the page of pseudo labels, from judgements that were made by hand."""

from __future__ import annotations

import csv
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicekit.data.cases import Case
from slicekit.errors import WriteError
from slicekit.io import write_labels, write_volume
from slicekit.labels import LabelSet
from slicekit.report import pseudo
from slicekit.report.pseudo import write_pseudo_report
from slicekit.training.pseudo import judge, learn_prior, measure_facts, parse_rules
from slicekit.training.pseudo.labelling import PseudoDataset
from slicekit.volume import Volume
from slicekit.windows import Window

NAMES = LabelSet({"liver": 1, "spleen": 2, "aorta": 3})
WINDOW = Window.from_range(-100, 200)


def labels(spleen):
    """A liver, a spleen so many voxels wide, no aorta."""
    array = np.zeros((6, 24, 24), np.uint8)
    array[1:5, 4:12, 4:10] = 1
    array[1:5, 4:12, 14 : 14 + spleen] = 2
    return Volume(array, np.diag([5.0, 2, 2, 1])[[2, 1, 0, 3]])


@pytest.fixture
def made(tmp_path):
    """Two scans: the spleen of the second is too small."""
    cases, facts = {}, {}
    for name, spleen in {"good": 6, "a,b\n<i>": 1}.items():
        image = labels(spleen).with_array(40 + labels(spleen).array.astype(np.int16))
        file = write_volume(tmp_path / "in" / f"{len(cases)}.nii.gz", image)
        cases[name] = Case(name, file, None)
        drawn = labels(spleen)
        facts[name] = measure_facts(drawn, NAMES, members=[drawn.array], losses={"liver": 0.125})
    known = measure_facts(labels(6), NAMES)
    prior, rules = learn_prior([known] * 9), parse_rules(["volume", "component", "agreement"])
    judgements = {name: judge(one, prior, rules) for name, one in facts.items()}
    found = PseudoDataset(
        tmp_path / "<out>", NAMES, rules, prior, cases, facts, judgements, {"<bad>": "is <cut>"}
    )
    for name, spleen in {"good": 6, "a,b\n<i>": 1}.items():
        write_labels(found.prediction(name), labels(spleen), like=labels(spleen))
    return found


def test_the_table_has_a_line_an_organ_and_case(made):
    table, _ = write_pseudo_report(made, window=WINDOW)
    assert table == made.folder / "pseudo.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = {(row["case"], row["organ"]): row for row in csv.DictReader(file)}
    assert rows.keys() == {(case, organ) for case in made.cases for organ in NAMES.names}
    small = rows["a,b\n<i>", "spleen"]
    assert (small["found"], small["accepted"]) == ("1", "0")
    assert small["voxels"] == "32" and float(small["volume_ml"]) == pytest.approx(0.64)
    assert float(small["score_volume"]) < 0.5 <= float(small["score_component"])
    assert small["reason"].startswith("unknown; volume: 0.6 ml, believed are")
    good = rows["good", "liver"]
    assert (good["accepted"], good["score_volume"], good["loss"]) == ("1", "1", "0.125")
    assert good["confidence"] == good["stability"] == ""
    # nine of nine labelled scans lack an aorta
    gone = rows["good", "aorta"]
    assert (gone["found"], gone["accepted"], gone["voxels"]) == ("0", "1", "0")
    assert (gone["score_absence"], gone["score_volume"]) == ("1", "")


def test_the_page_counts_and_escapes(made):
    _, path = write_pseudo_report(made, window=WINDOW)
    page = path.read_text("utf-8")
    assert "3 of 4 organs that were found in 2 scans" in page
    assert "<code>volume&gt;=0.5, component&gt;=0.9, agreement&gt;=0.8</code>" in page
    for raw in ("<i>", "<out>", "<bad>", "<cut>"):
        assert raw not in page and raw.replace("<", "&lt;").replace(">", "&gt;") in page
    assert page.count("<figure>") == page.count("</figure>") == 4
    assert page.count('class="n gone" title="accepted as absent') == 2


def test_a_refused_organ_is_not_among_the_best(made):
    _, path = write_pseudo_report(made, window=WINDOW)
    best = path.read_text("utf-8").split("<h2>The best")[1].split("<h2>")[0]
    assert best.count("<figure>") == 2
    assert "unknown; " not in best


def test_no_organ_is_shown_twice_and_of_few_every_list_has_some(made, caplog):
    with caplog.at_level(logging.INFO):
        _, path = write_pseudo_report(made, window=WINDOW)
    page = path.read_text("utf-8")
    shown = re.findall(r"<figcaption><b>(.+?)</b> of (.+?), score", page, flags=re.DOTALL)
    assert len(shown) == len(set(shown)) == 4
    parts = [part.count("<figure>") for part in re.split("<h2>(?:The|Border)", page)[1:]]
    assert parts == [2, 1, 1]
    assert f"reported in {made.folder / 'pseudo.csv'} and {path}" in caplog.text


def test_a_list_without_entries_is_left_out(made):
    none = {case: {"liver": organs["liver"]} for case, organs in made.judgements.items()}
    few = replace(made, judgements=none, organs=LabelSet({"liver": 1}))
    _, path = write_pseudo_report(few, window=WINDOW)
    assert re.findall("<h2>(The best|Borderline|The worst)", path.read_text("utf-8")) == [
        "The best", "Borderline"
    ]  # fmt: skip


def test_only_scans_that_are_shown_are_read_and_each_once(made, monkeypatch):
    read, usual = [], pseudo.read_volume

    def count(path):
        read.append(path)
        return usual(path)

    monkeypatch.setattr(pseudo, "read_volume", count)
    write_pseudo_report(made, window=WINDOW)
    assert sorted(read) == sorted(case.image for case in made.cases.values())


def test_a_folder_in_the_way_is_told(made):
    Path(made.folder / "pseudo.csv").mkdir()
    with pytest.raises(WriteError, match=r"pseudo\.csv"):
        write_pseudo_report(made, window=WINDOW)
