"""What ``slicekit models`` tells of bundled, own and broken models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slicekit.checkpoint import load_weights
from slicekit.recipes.finding import bundled
from slicekit.report.catalogue import ModelEntry, list_models, models_text


@pytest.fixture
def own(trial_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("trial_volumetric.toml", "trial_volumetric.safetensors"):
        (folder / name).write_bytes((trial_models / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return folder


def entry(name: str) -> ModelEntry:
    return next(one for one in list_models() if one.name == name)


def test_bundled_models_are_whole_and_without_fault() -> None:
    found = list_models()
    assert [one.name for one in found] == sorted(f.stem for f in bundled("models").glob("*.toml"))
    assert {one.fault for one in found} == {None}
    for one in found:
        assert one.recipe_sha256 in (one.header_sha256, None), one.name
        told = json.loads(json.dumps(one.to_json(), allow_nan=False))
        assert told["licence"] or not told["weights"]["there"]
        assert not told["own"]


def test_a_model_is_told_with_organs_scores_and_digests() -> None:
    told = entry("ct_abdomen_reference").to_json()
    assert (told["role"], told["modality"]) == ("reference", "CT")
    assert told["organs"]["liver"] == 6
    assert told["scores"]["liver"] == pytest.approx(0.952)
    weights = told["weights"]
    assert weights["there"]
    assert weights["bytes"] == Path(weights["file"]).stat().st_size
    assert weights["sha256_in_header"] == weights["sha256_in_recipe"]
    assert len(weights["sha256_in_header"]) == 64


def test_a_recipe_without_weights_is_told(own: Path) -> None:
    told = entry("ct_abdomen_volumetric").to_json()
    assert told["fault"] is None
    assert told["weights"]["there"] is False
    assert told["weights"]["sha256_in_header"] is None
    assert "missing" in models_text((entry("ct_abdomen_volumetric"),))


def test_own_models_are_told_as_such(own: Path) -> None:
    one = entry("trial_volumetric")
    assert one.is_own
    assert one.header_sha256 == load_weights(own / "trial_volumetric.safetensors").sha256
    assert one.mean_dsc is None
    assert "trial_volumetric (own)" in models_text(list_models())


def test_other_weights_than_the_recipe_asks_for_are_a_fault(own: Path) -> None:
    recipe = own / "trial_volumetric.toml"
    table = f'[weights]\nfile = "trial_volumetric.safetensors"\nsha256 = "{"0" * 64}"\n'
    recipe.write_text(recipe.read_text() + table)
    assert "the recipe asks for 000000000000" in str(entry("trial_volumetric").fault)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(60), b"rubbish" * 9])
def test_broken_files_are_listed_with_their_fault(own: Path, content: bytes) -> None:
    (own / "trial_volumetric.safetensors").write_bytes(content)
    (own / "broken.toml").write_bytes(content or b"[")
    found = list_models()
    faults = {one.name for one in found if one.fault}
    assert faults == {"trial_volumetric", "broken"}
    text = models_text(found)
    assert "broken: models/broken.toml: " in text
    assert "trial_volumetric.safetensors: is " in text
    for one in found:
        json.dumps(one.to_json(), allow_nan=False)
