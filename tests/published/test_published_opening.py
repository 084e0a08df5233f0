"""Checkpoints that are no published STCN, or were made to do harm, are refused with the reason.

The numbers are those of the project's list of fault cases.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import Trap, saved
from torch import Tensor

from slicekit.errors import CheckpointError
from slicekit.networks import STCN
from slicekit.published import import_published, opening

FIRST = "value_encoder.conv1.weight"
State = dict[str, Tensor]


def refusal(file: Path) -> str:
    """Import what must be refused; nothing is left behind."""
    before = set(file.parent.iterdir())
    with pytest.raises(CheckpointError) as caught:
        import_published(file, file.with_name("out.safetensors"))
    assert set(file.parent.iterdir()) == before
    return str(caught.value)


def spoil(state: State, fault: str) -> tuple[State, str]:
    """Return weights with a fault, and what the message must say of it."""
    name = "key_proj.key_proj.weight"
    if fault == "missing":
        del state[name]
        return state, f"1 tensors missing: {name};"
    if fault == "extra":
        return state | {
            "fc.weight": torch.zeros(2)
        }, "1 tensors not known to the network: fc.weight"
    if fault == "shape":
        return state | {name: torch.zeros(2, 3)}, f"another shape: {name} (file (2, 3), network (8,"
    if fault == "channels":
        return state | {FIRST: state[FIRST][:, :3]}, f"another shape: {FIRST} (file (8, 3, 7, 7)"
    if fault == "whole numbers":
        return state | {name: state[name].int()}, f"another kind of number: {name} (file torch.int3"
    if fault == "another prefix":
        return {
            f"prop_net.{n}": v for n, v in state.items()
        }, "missing: decoder.compress.conv1.bias"
    values = {"nan": float("nan"), "inf": float("inf"), "too large": 1e6}
    state[name] = state[name].clone()
    state[name][0, 0, 0, 0] = values[fault]
    return state, f"1 tensors not finite: {name}"


@pytest.mark.parametrize(
    "fault",
    ["missing", "extra", "shape", "channels", "whole numbers", "another prefix", "nan", "inf",
     "too large"],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    tiny_published: STCN, tmp_path: Path, fault: str
) -> None:
    state, wanted = spoil(dict(tiny_published.state_dict()), fault)
    said = refusal(saved(tmp_path, state))
    assert said.startswith(f"{tmp_path / 'stcn.pth'}")
    assert wanted in said
    if "finite" in wanted:
        assert ("rounded to float16 (at most 65,504)" in said) == (fault == "too large")
    else:
        assert "wanted the weights of an STCN or a TransUNet as their authors publish them" in said


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    resnet = {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}
    said = refusal(saved(tmp_path, resnet))
    assert "is no STCN as published: 347 tensors missing: decoder.compress.conv1.bias" in said
    assert "2 tensors not known to the network: conv1.weight, fc.bias" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list; wanted the weights of an STCN"),
        ({}, "holds a dict; wanted"),
        ({"epoch": 3, "ema": {"a": torch.zeros(1)}}, "2 of its 2 entries are no plain tensors"),
        ({"a": torch.eye(2).to_sparse()}, "1 of its 1 entries are no plain tensors (a)"),
        ({1: torch.zeros(1)}, "entries are no plain tensors (1)"),
    ],
)
def test_what_is_no_state_dict_is_told(tmp_path: Path, content: Any, said: str) -> None:
    assert said in refusal(saved(tmp_path, content))


def test_a_file_that_holds_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    assert "entries are no plain tensors" in refusal(saved(tmp_path, content))


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_case_29_code_in_a_file_is_never_run(
    tiny_published: STCN, tmp_path: Path, form: str
) -> None:
    trace, content = (
        tmp_path / "executed",
        tiny_published.state_dict() | {"a": Trap(tmp_path / "executed")},
    )
    if form == "bare":
        (tmp_path / "stcn.pth").write_bytes(pickle.dumps(content["a"]))
    else:
        saved(tmp_path, content, _use_new_zipfile_serialization=form == "zip")
    said = refusal(tmp_path / "stcn.pth")
    assert "slicekit never runs code from a file" in said
    assert "weights_only" not in said  # torch's own hint is how to run it nevertheless
    assert not trace.exists()


def test_case_29_a_pickled_network_is_refused_by_its_class(tmp_path: Path) -> None:
    said = refusal(saved(tmp_path, torch.nn.Linear(1, 1)))
    assert "holds the pickled object torch.nn.modules.linear.Linear" in said
    assert "torch.save(network.state_dict(), FILE)" in said


def test_case_29_an_archive_that_would_grow_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    with zipfile.ZipFile(tmp_path / "stcn.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(8 << 20))
    assert "would grow to 8,388,608" in refusal(tmp_path / "stcn.pth")
    monkeypatch.setattr(opening, "_LARGEST_BYTES", 1000)
    assert "more than any known weights (1,000)" in refusal(tmp_path / "stcn.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a file of torch.save or numpy"),
        (b"<!DOCTYPE html><title>404</title>", "is not a file of torch.save"),
        (b"PK\x03\x04" + bytes(50), "is damaged or cut short"),
        (b"\x80\x02" + bytes(50), "stcn.pth: "),
    ],
)
def test_case_30_wrong_files_are_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "stcn.pth").write_bytes(content)
    assert said in refusal(tmp_path / "stcn.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_case_30_a_truncated_file_is_refused(
    tiny_published: STCN, tmp_path: Path, share: float, zipped: bool
) -> None:
    file = saved(tmp_path, tiny_published.state_dict(), _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    assert refusal(file).startswith(f"{file}: ")
