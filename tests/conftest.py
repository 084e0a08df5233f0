"""Fixtures that every test file may use."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

if TYPE_CHECKING:
    from slicekit.data.phantom import Phantom
    from slicekit.networks import STCN
    from slicekit.recipes import Recipe

os.environ.setdefault("OMP_NUM_THREADS", "2")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job: programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


KINDS = {
    "reference": ("transunet", "deeplabv3plus"),
    "propagator": ("stcn",),
    "volumetric": ("dynunet",),
    "fewshot": ("alpnet",),
}
"""Networks of the models that tests make."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes, for research use; never part of the project."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"the shared data folder {SHARED_DATA} is absent on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """Make a recipe of the smallest networks; keywords change its [training].

    A reference is of two networks, of one where the method takes no more.
    """
    from slicekit.data.phantom import PHANTOM_LABELS
    from slicekit.recipes import parse_recipe

    usual = {"steps": 6, "batch": 2, "crop": [48, 64], "patch": [8, 16, 16]}
    usual |= {"checkpoint_every": 3, "evaluate_every": 4}

    def make(role: str = "reference", **training: object) -> Recipe:
        kinds = KINDS[role][:1] if training.get("method") == "supervised" else KINDS[role]
        windows = [[-300, 300]] if role == "volumetric" else "ct-body"
        return parse_recipe(
            {
                "name": f"tiny_{role}",
                "role": role,
                "input": {"windows": windows, "spacing_mm": 6.0},
                "organs": dict(PHANTOM_LABELS.ids),
                "networks": [{"kind": kind, "preset": "tiny"} for kind in kinds],
                "training": usual | training,
            },
            source="test",
        )

    return make


@pytest.fixture(scope="session")
def phantoms() -> tuple[Phantom, ...]:
    """Four patients of 16 slices, 64 x 64 pixels, 10 x 6 x 6 mm."""
    from slicekit.data.phantom import make_phantom

    return tuple(
        make_phantom(np.random.default_rng(seed), shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))
        for seed in range(4)
    )


TRIAL_RECIPE = """
name = "trial_{role}"
role = "{role}"
licence = "none"
[input]
windows = [{windows}]
spacing_mm = 6.0
[organs]
liver = 1
spleen = 2
aorta = 3
{networks}
[training]
steps = 1
patch = [16, 16, 16]
[inference]
{propagator}
selector = "uniform"
sample_every_mm = 10.0
"""
"""A recipe of the smallest networks; formatted by ``trial_models``."""


@pytest.fixture(scope="session")
def trial_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recipes and random weights, one a role, such as ``trial_reference``.

    Both networks of the reference see organs nearly everywhere, as unlike as random is.
    """
    import torch

    from slicekit.checkpoint import save_weights
    from slicekit.inference.model import build_network
    from slicekit.recipes import read_recipe

    folder = tmp_path_factory.mktemp("trial_models")
    for role, names in KINDS.items():
        file = folder / f"trial_{role}.toml"
        carrier = 'propagator = "trial_propagator"' if role == "reference" else ""
        networks = "".join(f'[[networks]]\nkind = "{kind}"\npreset = "tiny"\n' for kind in names)
        windows = "[-125, 275]" + ("" if role == "volumetric" else ", [0, 160], [90, 260]")
        file.write_text(
            TRIAL_RECIPE.format(role=role, networks=networks, propagator=carrier, windows=windows)
        )
        recipe = read_recipe(file)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(recipe)
        if role == "reference":
            with torch.no_grad():
                for head in (network.a.head, network.b.network.segmentation_head[0]):
                    head.weight *= 10
                    head.bias[0] -= 1
        save_weights(file.with_suffix(".safetensors"), network.state_dict(), recipe, card={})
    return folder


@pytest.fixture
def tiny_published(monkeypatch: pytest.MonkeyPatch) -> STCN:
    """A network of the published structure, but small; the importer is told to expect it."""
    import torch

    from slicekit.networks import STCN, build
    from slicekit.published import stcn

    monkeypatch.setattr(stcn, "PRESET", "tiny")
    torch.manual_seed(0)
    network = build("stcn", "tiny").eval()
    assert isinstance(network, STCN)
    return network


class Done(NamedTuple):
    """What a command left on the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture
def door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Done]]:
    """Run a command line in this process: the name of a door, then words.

    What a door changes in the process is put back.
    """
    import torch

    from slicekit import cli

    doors = {"slicekit": cli.main, "infer.py": cli.infer_door, "train.py": cli.train_door}
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(name: str, *words: object) -> Done:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as done:
            doors[name]()
        return Done(int(done.value.code or 0), *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, handler)
    torch.set_num_threads(threads)


@pytest.fixture
def scans(phantoms: tuple[Phantom, ...], tmp_path: Path) -> Path:
    """A folder of two scans, a.nii.gz and b.nii.gz."""
    from slicekit.io import write_volume

    for name, made in zip("ab", phantoms, strict=False):
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", made.image)
    return tmp_path / "scans"


@pytest.fixture
def using(trial_models: Path) -> tuple[str, ...]:
    """The options of a command line that choose the trial models."""
    model = str(trial_models / "trial_reference.toml")
    return ("--model", model, "--device", "cpu", "--backend", "torch")
