"""The benchmark of a new organ keeps patients apart, and runs that differ too."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def new(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield runpy.run_path(str(BENCHMARKS / "new_organ.py"), run_name="new_organ")
    for name in ("abdomen_val", "results_io"):
        sys.modules.pop(name, None)


@pytest.fixture
def heart(tmp_path: Path) -> Any:
    """Seven patients, two scans each, all labelled; files are empty."""
    from slicekit.data.cases import find_cases

    for folder, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
        (tmp_path / "heart" / folder).mkdir(parents=True)
        for number in range(14):
            name = f"patient{number // 2:03d}_frame{number % 2}{ending}.nii.gz"
            (tmp_path / "heart" / folder / name).touch()
    labels = {"labels": {"background": 0, "ventricle": 1}, "name": "heart"}
    (tmp_path / "heart" / "dataset.json").write_text(json.dumps(labels))
    return find_cases(tmp_path / "heart")


def test_no_patient_is_learnt_from_and_scored_on(new: dict[str, Any], heart: Any) -> None:
    first, others = new["part"](heart)
    assert [case.name for case in first] == [f"patient{n:03d}_frame0" for n in range(5)]
    assert len(others) == 4
    assert not {*map(new["patient_of"], first)} & {*map(new["patient_of"], others)}


def test_a_dataset_of_some_cases_is_links(new: dict[str, Any], heart: Any, tmp_path: Path) -> None:
    from slicekit.data.cases import find_cases

    first, _ = new["part"](heart)
    for _ in range(2):  # again, as after an interruption
        folder = new["write_dataset"](heart, first[:3], tmp_path / "some")
        found = find_cases(folder)
        assert [case.name for case in found.cases] == [case.name for case in first[:3]]
        assert dict(found.labels.ids) == {"ventricle": 1}
        for case, source in zip(found.cases, first, strict=False):
            assert case.image.resolve() == source.image
            assert case.labels is not None and case.labels.resolve() == source.labels


def test_other_steps_or_another_start_are_another_run(new: dict[str, Any]) -> None:
    name = new["name_of"]
    names = [name(1, 300, "one"), name(3, 300, "one"), name(1, 600, "one"), name(1, 300, "other")]
    assert len(set(names)) == 4
    assert name(1, 300, "folder/one.safetensors") == names[0]


def test_a_runs_name_is_a_models_name(new: dict[str, Any]) -> None:
    import re

    from slicekit.recipes.tables import NAME

    assert re.fullmatch(NAME, f"{new['name_of'](5, 300, new['FROM'])}_scratch")
