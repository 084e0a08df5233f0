"""The files around the code agree with one another."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED = dict(
    line.split("==")
    for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
PINS = {canonicalize_name(name): pin for name, pin in TESTED.items()}
WANTED = [
    *PROJECT["dependencies"],
    *PROJECT["optional-dependencies"]["cpu"],
    *PROJECT["optional-dependencies"]["web"],
    *PROJECT["optional-dependencies"]["dev"],
]


@pytest.mark.parametrize("text", WANTED)
def test_tested_versions_are_allowed_ones(text: str) -> None:
    requirement = Requirement(text)
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_nothing_pulls_in_the_other_opencv() -> None:
    assert "opencv-python" not in PINS
    assert "opencv-python-headless" in PINS


def test_albumentations_stays_under_its_free_licence() -> None:
    assert version("albumentations").startswith("2.0.")


def test_the_page_is_packed_with_the_viewer_that_git_ignores() -> None:
    packed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = packed["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "slicekit/review/page/vendor" in wheel["artifacts"]
