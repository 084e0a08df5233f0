"""The folder that the pages' commands run in: every file they name, small and made up.

Models are the bundled recipes with the smallest networks and random weights, so that a page
takes seconds; what a page promises of numbers is measured elsewhere.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import torch
from made_series import write_series
from numpy.typing import NDArray

from slicekit.checkpoint import save_weights
from slicekit.data.phantom import PHANTOM_LABELS, Phantom, make_phantom
from slicekit.inference.model import build_network
from slicekit.io import read_volume, write_labels, write_volume
from slicekit.labels import LabelSet
from slicekit.recipes import change_recipe, read_recipe, recipe_to_toml

SHORT = (
    "training.steps=2",
    "training.batch=2",
    "training.crop=[64, 64]",
    "training.patch=[16, 16, 16]",
    "training.evaluate_every=2",
    "training.checkpoint_every=2",
    "training.phantoms=0",
    "training.phantom_share=0.0",
    "input.spacing_mm=6.0",
)
LIVER = PHANTOM_LABELS.ids["liver"]
GRAY_RANGE_HU = (-125.0, 275.0)


def shrink_models(models: Path, folder: Path) -> None:
    """Write the recipes of a folder with the smallest networks, and random weights beside them."""
    folder.mkdir()
    for file in sorted(models.glob("*.toml")):
        recipe = read_recipe(file)
        kinds = ", ".join(f'{{kind="{one.kind}", preset="tiny"}}' for one in recipe.networks)
        small = change_recipe(recipe, [*SHORT, f"networks=[{kinds}]"])
        small = small.model_copy(update={"weights": None})
        (folder / file.name).write_text(recipe_to_toml(small), encoding="utf-8")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(small)
        if small.role == "reference":  # it finds organs nearly everywhere, as unlike as random is
            with torch.no_grad():
                for head in (network.a.head, network.b.network.segmentation_head[0]):
                    head.weight *= 10
                    head.bias[0] -= 1
        save_weights(folder / f"{file.stem}.safetensors", network.state_dict(), small, card={})


def furnish(folder: Path, models: Path) -> None:
    """Put everything that the pages name into a folder."""
    shrink_models(models, folder / "models")
    made = [
        make_phantom(np.random.default_rng(seed), shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))
        for seed in range(5)
    ]
    _scans(folder, made)
    _dataset(folder / "DIR", made, PHANTOM_LABELS)
    shutil.copytree(folder / "DIR", folder / "DIR2")
    _dataset(folder / "DRAWN", made, LabelSet({"bladder": 1, "prostate": 2}))
    _slices(folder / "slices", folder / "masks", made[0])
    _dicom(folder, made[0].image.array)
    for run in ("reference", "beside", "student", "few", "few/round-1"):
        (folder / "runs" / run).mkdir(parents=True)
        shutil.copy(folder / "models" / "ct_abdomen_reference.safetensors", folder / "runs" / run)


def _scans(folder: Path, made: list[Phantom]) -> None:
    first = made[0]
    for name in ("scan", "support", "phantom", "anna"):
        write_volume(folder / f"{name}.nii.gz", first.image)
    for name in ("query", "ben"):
        write_volume(folder / f"{name}.nii.gz", made[1].image)
    for name in ("truth", "labels", "support_labels", "anna_labels"):
        write_labels(
            folder / f"{name}.nii.gz", first.labels, like=first.image, names=PHANTOM_LABELS
        )
    drawn = np.zeros(first.labels.shape, np.uint8)
    shown = np.flatnonzero((first.labels.array == LIVER).any(axis=(1, 2)))
    for z in shown[[0, len(shown) // 2, -1]]:
        drawn[z] = first.labels.array[z] == LIVER
    write_labels(folder / "drawn.nii.gz", first.image.with_array(drawn), like=first.image)
    for name, one in zip(("anna", "ben"), made, strict=False):
        write_volume(folder / "scans" / f"{name}.nii.gz", one.image)
        for place in ("truth", "labels", "labels_a", "labels_b"):
            write_labels(
                folder / place / f"{name}.nii.gz", one.labels, like=one.image, names=PHANTOM_LABELS
            )


def _dataset(folder: Path, made: list[Phantom], organs: LabelSet) -> None:
    """Lay out five scans: two are labelled for training, two to be judged on, one is not."""
    names = [f"case_{number:02}" for number in range(1, len(made) + 1)]
    for name, one in zip(names, made, strict=True):
        write_volume(folder / "imagesTr" / f"{name}_0000.nii.gz", one.image)
        if name != names[-1]:
            labels = one.labels.array
            if organs is not PHANTOM_LABELS:
                labels = np.zeros_like(labels)
                labels[1:6, 20:28, 26:34], labels[1:4, 29:33, 26:34] = 1, 2
            write_labels(
                folder / "labelsTr" / f"{name}.nii.gz", one.image.with_array(labels), like=one.image
            )
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **organs.ids},
        "numTraining": len(made),
        "file_ending": ".nii.gz",
    }
    splits = {
        "train": [*names[:2], names[-1]],
        "val": names[2:4],
        "unlabelled": [names[-1]],
        "few_labelled": names[:2],
    }
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")


def _slices(images: Path, masks: Path, made: Phantom) -> None:
    low, high = GRAY_RANGE_HU
    gray = np.clip((made.image.array - low) / (high - low), 0, 1) * 255
    for folder, planes in (
        (images, gray.astype(np.uint8)),
        (masks, (made.labels.array == LIVER).astype(np.uint8) * 255),
    ):
        folder.mkdir()
        for z in range(len(planes)):
            if folder == images or planes[z].any():
                cv2.imwrite(str(folder / f"{z:03}.png"), planes[z])


def _dicom(folder: Path, scan: NDArray[np.int16]) -> None:
    """One series alone, and a study of two in a zip."""
    stored = (scan + 1024).astype(np.uint16)
    write_series(folder / "series", stored)
    write_series(folder / "study" / "a", stored, series="1.2.3.4", number=4)
    write_series(folder / "study" / "b", stored[:8], series="1.2.3.5", number=5, change=_thick)
    with zipfile.ZipFile(folder / "study.zip", "w") as packed:
        for file in sorted((folder / "study").rglob("*.dcm")):
            packed.write(file, file.relative_to(folder))


def _thick(_: int, header: object) -> None:
    header.SeriesDescription = "thick"  # type: ignore[attr-defined]


def draw_on_series(folder: Path) -> None:
    """Draw two slices on the grid of the series, and outline two organs in it."""
    scan = read_volume(folder / "series")
    drawn = np.zeros(scan.shape, np.uint8)
    drawn[[4, 8], 20:40, 20:40] = 1
    write_labels(folder / "drawn.nii.gz", scan.with_array(drawn), like=scan, overwrite=True)
    drawn[5, 40:50, 20:30] = 2
    names = LabelSet({"liver": 1, "spleen": 2})
    write_labels(folder / "plan.rtstruct.dcm", drawn, like=scan, names=names).rename(
        folder / "plan.dcm"
    )


def lay_out_patients(folder: Path) -> None:
    """Make ``patients``: one series in a folder, one in an archive."""
    shutil.copytree(folder / "series", folder / "patients" / "anna")
    shutil.make_archive(str(folder / "patients" / "ben"), "zip", folder / "series")


def mask_every_slice(folder: Path) -> None:
    """Give every slice of ``slices`` a mask."""
    for picture in (folder / "slices").iterdir():
        mask = folder / "masks" / picture.name
        if not mask.exists():
            cv2.imwrite(str(mask), np.zeros((64, 64), np.uint8))


def lay_out_people(folder: Path) -> None:
    """Make ``scans`` folders of slices and masks; the masks hold 127 and 255."""
    shutil.rmtree(folder / "scans")
    for name in ("anna", "ben", "carl"):
        shutil.copytree(folder / "slices", folder / "scans" / name / "images")
        if name == "ben":
            continue
        shutil.copytree(folder / "masks", folder / "scans" / name / "masks")
        for file in (folder / "scans" / name / "masks").iterdir():
            mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) // 255 * 127
            mask[30:40][mask[30:40] > 0] = 255
            cv2.imwrite(str(file), mask)
