"""What ``slicekit info`` tells, on machines that are made up."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slicekit.machine import Gpus
from slicekit.report import installation as module
from slicekit.report.installation import PACKAGES, describe_installation

CHECKOUT = Path(__file__).resolve().parents[2]
ONE_GPU = Gpus(("NVIDIA H200",), "the driver")


@pytest.fixture(autouse=True)
def cpu_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_gpus", lambda: Gpus((), "nowhere"))
    monkeypatch.setattr(module, "cpu_bf16_units", lambda: ("amx_bf16",))
    monkeypatch.setattr(module, "cpu_is_intel", lambda: True)
    monkeypatch.setattr(module, "openvino_is_installed", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_every_package_named_is_one_that_slicekit_asks_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {canonicalize_name(Requirement(one).name) for one in asked}
    assert {canonicalize_name(name) for name in PACKAGES} <= names


def test_all_is_told_as_json_and_as_text() -> None:
    found = describe_installation()
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["packages"]["numpy"] == __import__("numpy").__version__
    assert told["cpu"]["bf16_units"] == ["amx_bf16"]
    assert told["gpu"] == {"names": [], "source": "nowhere"}
    assert Path(told["places"]["models"]).is_dir()
    text = found.to_text()
    for said in (told["slicekit"], told["cpu"]["name"], "none seen (nowhere)", "amx_bf16"):
        assert said in text


def test_a_cpu_with_bf16_likely_takes_it() -> None:
    auto = describe_installation().auto
    assert (auto.device, auto.precision, auto.backend) == ("cpu", "bf16", "openvino")
    assert not auto.certain  # torch may be built without


def test_a_plain_cpu_certainly_takes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_bf16_units", lambda: ())
    monkeypatch.setattr(module, "openvino_is_installed", lambda: False)
    auto = describe_installation().auto
    assert (auto.device, auto.precision, auto.backend) == ("cpu", "float32", "torch")
    assert auto.certain


def test_a_gpu_that_is_seen_is_not_yet_one_that_torch_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "find_gpus", lambda: ONE_GPU)
    monkeypatch.setattr(module, "_version", lambda name: "2.10.0")
    found = describe_installation()
    assert (found.auto.device, found.auto.precision, found.auto.certain) == ("cuda", None, False)
    assert "NVIDIA H200" in found.to_text()
    monkeypatch.setattr(module, "_version", lambda name: "2.10.0+cpu")
    assert describe_installation().auto.why.startswith("torch is a build for the CPU")
    monkeypatch.setattr(module, "_version", lambda name: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert describe_installation().auto.why.startswith("CUDA_VISIBLE_DEVICES hides the GPU")


def test_it_agrees_with_what_torch_then_does() -> None:
    import torch

    from slicekit.machine import cpu_bf16_units
    from slicekit.runtime import cpu_has_bf16

    if not torch.cuda.is_available():
        assert cpu_has_bf16() <= bool(cpu_bf16_units())
