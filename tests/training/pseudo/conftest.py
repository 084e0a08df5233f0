"""Four labelled phantoms, a fifth one to be judged, and what can go wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from slicekit.data.cases import find_cases
from slicekit.data.phantom import PHANTOM_LABELS, make_phantom
from slicekit.inference.model import Model
from slicekit.io import write_labels, write_volume
from slicekit.recipes import read_recipe
from slicekit.training.pseudo import Prior, labelling, learn_prior, measure_facts, parse_rules
from slicekit.training.pseudo.groups import choose_groups
from slicekit.training.pseudo.labelling import PseudoDataset, label_dataset
from slicekit.training.pseudo.needs import Helpers
from slicekit.training.pseudo.predict import predict_scan
from slicekit.volume import Volume


@pytest.fixture(scope="session")
def patient() -> Volume:
    """The labels of a patient that no prior has seen; not to be written to."""
    made = make_phantom(np.random.default_rng(4), shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))
    made.labels.array.setflags(write=False)
    return made.labels


@pytest.fixture(scope="session")
def prior(phantoms) -> Prior:
    """What the four phantoms teach; the whole slice is their body."""
    box = (0, 64, 0, 64)
    return learn_prior([measure_facts(made.labels, PHANTOM_LABELS, body=box) for made in phantoms])


class Faults:
    """Ways in which one organ of a label map can be wrong; z, y, x grow to head, back, left."""

    @staticmethod
    def _move(labels, organ, moved, keep=False):
        number = PHANTOM_LABELS.id_of(organ)
        array = labels.array.copy()
        if not keep:
            array[array == number] = 0
        array[moved] = number
        return labels.with_array(array)

    def mask(self, labels, organ):
        return labels.array == PHANTOM_LABELS.id_of(organ)

    def mirrored(self, labels, organ):
        """The organ lies on the other side of the body."""
        return self._move(labels, organ, self.mask(labels, organ)[:, :, ::-1])

    def doubled(self, labels, organ):
        """A second one lies on the other side."""
        return self._move(labels, organ, self.mask(labels, organ)[:, :, ::-1], keep=True)

    def torn(self, labels, organ):
        """Two thirds of its slices are missing, from the middle."""
        mask = self.mask(labels, organ).copy()
        held = np.flatnonzero(mask.any(axis=(1, 2)))
        mask[held[len(held) // 6 + 1 : len(held) - len(held) // 6 - 1]] = False
        return self._move(labels, organ, mask)

    def tiny(self, labels, organ):
        """Only a speck is left."""
        where = np.argwhere(self.mask(labels, organ))
        speck = np.zeros(labels.shape, bool)
        speck[tuple(where[len(where) // 2])] = True
        return self._move(labels, organ, speck)

    def at_border(self, labels, organ):
        """It lies at the left side of the scan."""
        mask = self.mask(labels, organ)
        last = int(np.flatnonzero(mask.any(axis=(0, 1))).max())
        return self._move(labels, organ, np.roll(mask, mask.shape[2] - 1 - last, axis=2))

    def gone(self, labels, organ):
        """It was not found."""
        return self._move(labels, organ, np.zeros(labels.shape, bool))


@pytest.fixture(scope="session")
def faults() -> Faults:
    return Faults()


LEVELS_HU = {"body": 0, "liver": 60, "spleen": 120, "aorta": 200}
BOXES = {
    "liver": (slice(3, 13), slice(16, 36), slice(12, 30)),
    "spleen": (slice(5, 11), slice(20, 34), slice(40, 52)),
    "aorta": (slice(2, 14), slice(40, 46), slice(30, 36)),
}
ORGANS = {"liver": 1, "spleen": 2, "aorta": 3}
AFFINE = np.array([[0, 0, -6.0, 190], [0, -6.0, 0, 190], [10.0, 0, 0, 0], [0, 0, 0, 1]])


class ByIntensity:
    """A reference whose answer can be said beforehand: each organ has an intensity of its own.

    Args:
        blind: What the second of its two members takes for background.
    """

    def __init__(self, blind: str | None = None) -> None:
        self.blind, self.slices = blind, 0
        self.levels = (torch.tensor([*LEVELS_HU.values()], dtype=torch.float32) + 125) / 400

    def __call__(self, slices, position):
        self.slices += len(slices)
        first = -3000 * (slices[:, :1] - self.levels[:, None, None]) ** 2
        second = first.clone()
        if self.blind is not None:
            second[:, 0] = second[:, [0, ORGANS[self.blind]]].amax(dim=1)
            second[:, ORGANS[self.blind]] = -1e4
        return first, second


class Patients:
    """Bodies in which every organ is a box; z, y, x grow to head, back, left."""

    def labels(self, *, wider: int = 0, speck: str | None = None, gone: str | None = None):
        """Ids; every box ``wider`` voxels to the back, one organ a speck, one not there."""
        array = np.zeros((16, 64, 64), np.uint8)
        for organ, (z, y, x) in BOXES.items():
            if organ == speck:
                array[z.start, y.start, x.start] = ORGANS[organ]
            elif organ != gone:
                array[z, y.start : y.stop + wider, x] = ORGANS[organ]
        return Volume(array, AFFINE)

    def scan(self, labels):
        """The scan in which ``ByIntensity`` sees these labels."""
        array = np.full(labels.shape, -1000, np.int16)
        array[:, 8:56, 6:58] = LEVELS_HU["body"]
        for organ, number in ORGANS.items():
            array[labels.array == number] = LEVELS_HU[organ]
        return labels.with_array(array)

    def write(self, root, name, labels, *, labelled):
        """Put a case into a dataset folder."""
        image = self.scan(labels)
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", image, overwrite=True)
        if labelled:
            write_labels(root / "labelsTr" / f"{name}.nii.gz", labels, like=image)

    def describe(self, root, **splits):
        """Write dataset.json and, where there are groups, splits.json."""
        text = json.dumps({"name": "boxes", "labels": {"background": 0, **ORGANS}})
        (root / "dataset.json").write_text(text)
        if splits:
            (root / "splits.json").write_text(json.dumps(splits))


@pytest.fixture(scope="session")
def patients() -> Patients:
    return Patients()


@pytest.fixture
def boxes(patients, tmp_path) -> Path:
    """Four cases: one and two are labelled; sound and odd are not, and odd's spleen is a speck."""
    root = tmp_path / "boxes"
    patients.write(root, "one", patients.labels(), labelled=True)
    patients.write(root, "two", patients.labels(wider=1), labelled=True)
    patients.write(root, "sound", patients.labels(), labelled=False)
    patients.write(root, "odd", patients.labels(speck="spleen"), labelled=False)
    patients.describe(root)
    return root


@pytest.fixture
def seer(trial_models, runtime) -> Callable[..., Model]:
    """Make a model of ``ByIntensity``, which carries no guides; keywords are its own."""
    recipe = read_recipe(trial_models / "trial_reference.toml")

    def make(*, sha256: str = "first", **options) -> Model:
        return Model(recipe, ByIntensity(**options), None, None, {recipe.name: sha256}, runtime)

    return make


@pytest.fixture
def label(boxes, seer, tmp_path) -> Callable[..., PseudoDataset]:
    """Label ``boxes`` by ``seer``; keywords are those of ``label_dataset`` and ``Helpers``."""

    def run(
        *,
        rules=("volume",),
        model=None,
        out=None,
        groups=None,
        progress=lambda *told: None,
        **helpers,
    ):
        dataset = find_cases(boxes)
        chosen = {"labelled": None, "unlabelled": None, "held_out": None} | (groups or {})
        return label_dataset(
            dataset,
            choose_groups(dataset, **chosen),
            model or seer(),
            out or tmp_path / "out",
            rules=None if rules is None else parse_rules(rules),
            helpers=Helpers(**helpers),
            progress=progress,
        )

    return run


@pytest.fixture
def predicted(monkeypatch) -> list[str]:
    """Names of the scans that were predicted, as often as they were."""
    names: list[str] = []

    def count(scan, model, *, name, **options):
        names.append(Path(name).name.removesuffix("_0000.nii.gz"))
        return predict_scan(scan, model, name=name, **options)

    monkeypatch.setattr(labelling, "predict_scan", count)
    return names
