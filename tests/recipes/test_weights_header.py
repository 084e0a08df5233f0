"""The header of a weights file is read alone, and only where it is what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slicekit.checkpoint import load_weights
from slicekit.errors import CheckpointError
from slicekit.recipes.weights_header import digest_of_texts, read_header


@pytest.fixture
def weights(trial_models: Path, tmp_path: Path) -> Path:
    file = tmp_path / "trial.safetensors"
    file.write_bytes((trial_models / "trial_propagator.safetensors").read_bytes())
    return file


def test_the_header_says_what_loading_finds(weights: Path) -> None:
    header = read_header(weights)
    loaded = load_weights(weights)
    assert header["sha256"] == loaded.sha256
    assert json.loads(header["recipe"])["name"] == loaded.recipe.name == "trial_propagator"
    assert header["header_sha256"] == digest_of_texts(header)


def test_tensors_are_not_read(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert read_header(weights)["format"] == "slicekit-1"
    with pytest.raises(CheckpointError, match="its tensors have SHA-256"):
        load_weights(weights)


def test_a_changed_header_is_refused(weights: Path) -> None:
    content = weights.read_bytes()
    assert content.count(b"trial_propagator") == 1
    weights.write_bytes(content.replace(b"trial_propagator", b"other_propagator"))
    with pytest.raises(CheckpointError, match="its header was changed"):
        read_header(weights)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"is empty or cut short \(0 bytes\)"),
        (b"PK\x03\x04" + bytes(99), "could run code when loaded"),
        (b"\xff" * 20, "its header claims"),
        (b"\x02" + bytes(7) + b"{}", "its header says format None"),
        (b"\x04" + bytes(7) + b"{no}", "is damaged or not a safetensors file"),
    ],
)
def test_what_is_no_weights_file_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_header(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(tmp_path / "gone.safetensors")
