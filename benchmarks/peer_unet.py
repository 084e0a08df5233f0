"""The peer that slicekit is measured against: the plain loop that a user would write.

A U-Net with a ResNet-18 encoder from random weights, whole slices at 256 x 256 pixels, cross
entropy and Dice, AdamW, polynomial decay, affine and gain augmentation, bfloat16. It learns from
the training cases with all their labels and sees nothing but single slices. It uses nothing of
slicekit but the file that its result is kept in.

    python benchmarks/peer_unet.py --data ../shared/data/abdomen_ct --minutes 30
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from results_io import RESULTS, write_result
from torch import Tensor, nn

SIZE = 256
BATCH = 8
RANGE_HU = (-125.0, 275.0)
SYNAPSE = (
    "aorta",
    "gallbladder",
    "left_kidney",
    "right_kidney",
    "liver",
    "pancreas",
    "spleen",
    "stomach",
)
"""The eight organs of the published 2D benchmark."""
NOTE = (
    "ResNet-18 U-Net from random weights, 256 px, batch 8, CE and Dice, AdamW, bfloat16. Learnt "
    "from {train} cases with all labels, scored on {val} others, on their own grid. An organ that "
    "the truth of a case lacks is not evaluated there."
)


def read_case(folder: Path, name: str) -> tuple[Tensor, Tensor, nib.Nifti1Image]:
    """Read one case: image (z, y, x) in [0, 1], labels (z, y, x), and the label file itself."""
    image = nib.load(folder / "imagesTr" / f"{name}_0000.nii.gz")
    labels = nib.load(folder / "labelsTr" / f"{name}.nii.gz")
    low, high = RANGE_HU
    scaled = np.clip((image.get_fdata(dtype=np.float32) - low) / (high - low), 0, 1)
    classes = np.asarray(labels.dataobj).astype(np.int64)
    return torch.from_numpy(scaled.T.copy()), torch.from_numpy(classes.T.copy()), labels


def training_slices(folder: Path, names: list[str]) -> tuple[Tensor, Tensor]:
    """Read all training slices at 256 px: images (n, 1, y, x) float32, labels (n, y, x) uint8."""
    images, labels = [], []
    for name in names:
        image, classes, _ = read_case(folder, name)
        images.append(shrink(image))
        nearest = F.interpolate(classes[:, None].float(), (SIZE, SIZE), mode="nearest-exact")
        labels.append(nearest[:, 0].to(torch.uint8))
    return torch.cat(images), torch.cat(labels)


def shrink(image: Tensor) -> Tensor:
    """Resample slices (z, y, x) to (z, 1, 256, 256)."""
    return F.interpolate(image[:, None], (SIZE, SIZE), mode="bilinear", antialias=True)


def augment(images: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn, scale, shift and re-light a batch; no flips, for left and right are classes here."""
    n = len(images)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=rng).to(images.device)

    angle = torch.deg2rad(draw(-15, 15))
    zoom, shift_x, shift_y = draw(0.85, 1.15), draw(-0.1, 0.1), draw(-0.1, 0.1)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    rows = [torch.stack([cos, -sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    classes = F.grid_sample(labels[:, None].float(), grid, mode="nearest", align_corners=False)
    gain, offset = draw(0.85, 1.15), draw(-0.1, 0.1)
    lit = moved * gain[:, None, None, None] + offset[:, None, None, None]
    return lit.clamp(0, 1), classes[:, 0].long()


def train(
    network: nn.Module, images: Tensor, labels: Tensor, args: argparse.Namespace
) -> dict[str, float]:
    """Train until the minutes (or the steps) are over."""
    device = torch.device(args.device)
    rng = torch.Generator().manual_seed(args.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.learning_rate)
    cross_entropy, dice = nn.CrossEntropyLoss(), smp.losses.DiceLoss(mode="multiclass")
    start, step, done, loss = time.monotonic(), 0, 0.0, torch.zeros(())
    network.train()
    while done < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = args.learning_rate * (1.0 - done) ** 0.9
        chosen = torch.randint(len(images), (BATCH,), generator=rng)
        slices, classes = augment(images[chosen].to(device), labels[chosen].to(device), rng)
        slices = slices.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = network(slices)
        loss = cross_entropy(logits.float(), classes) + dice(logits.float(), classes)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step += 1
        done = (time.monotonic() - start) / (60.0 * args.minutes)
        if args.steps:
            done = max(done, step / args.steps)
        if step % 50 == 0:
            print(f"step {step}, {100 * done:.0f} %, loss {loss.item():.3f}", flush=True)
    minutes = (time.monotonic() - start) / 60.0
    return {"steps": step, "minutes": minutes}


@torch.inference_mode()
def predict(network: nn.Module, image: Tensor, device: torch.device) -> Tensor:
    """Label a scan (z, y, x) slice by slice; labels go back to its own grid by nearest."""
    network.eval()
    parts = []
    for batch in shrink(image).split(BATCH):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = network(batch.to(device).contiguous(memory_format=torch.channels_last))
        parts.append(logits.argmax(1, keepdim=True).float().cpu())
    small = torch.cat(parts)
    return F.interpolate(small, image.shape[1:], mode="nearest-exact")[:, 0].to(torch.uint8)


def dice_score(truth: Tensor, guess: Tensor) -> float:
    """Dice of two masks; NaN where the truth has no such organ, which is then not evaluated."""
    if not truth.any():
        return float("nan")
    return 2.0 * (truth & guess).sum().item() / (truth.sum() + guess.sum()).item()


def evaluate(
    network: nn.Module, folder: Path, names: list[str], organs: dict[str, int], args: Any
) -> list[dict[str, Any]]:
    """Score every organ of every case; a row an organ, with its mean and each case's DSC."""
    rows: list[dict[str, Any]] = [{"organ": organ} for organ in organs]
    for name in names:
        image, truth, file = read_case(folder, name)
        guess = predict(network, image, torch.device(args.device))
        for row in rows:
            number = organs[row["organ"]]
            row[name] = dice_score(truth == number, guess == number)
        if args.save_labels:
            args.save_labels.mkdir(parents=True, exist_ok=True)
            saved = nib.Nifti1Image(guess.numpy().T, file.affine, file.header)
            saved.set_data_dtype(np.uint8)
            nib.save(saved, args.save_labels / f"{name}.nii.gz")
    return [{"organ": row.pop("organ"), "dsc": mean(list(row.values())), **row} for row in rows]


def mean(values: list[float]) -> float:
    """Mean of the numbers that are there; NaN where there is none."""
    known = [value for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def summary(rows: list[dict[str, Any]], run: dict[str, float], seconds: float) -> dict[str, float]:
    """Return the headline figures of a finished run."""
    eight = [row["dsc"] for row in rows if row["organ"] in SYNAPSE]
    return {
        f"mean DSC of {len(eight)} organs": mean(eight),
        f"mean DSC of {len(rows)} organs": mean([row["dsc"] for row in rows]),
        "training minutes": run["minutes"],
        "training steps": run["steps"],
        "seconds a case, reading included": seconds,
    }


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("--data", type=Path, required=True, help="folder in nnU-Net's raw layout")
    parser.add_argument("--minutes", type=float, default=30.0, help="training time")
    parser.add_argument("--steps", type=int, default=0, help="at most so many steps; 0: no limit")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-labels", type=Path, help="folder for the predicted label maps")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    return parser.parse_args()


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keep the description's lines and show the defaults."""


def main() -> None:
    """Train, evaluate, keep the figures."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    splits = json.loads((args.data / "splits.json").read_text(encoding="utf-8"))
    known = json.loads((args.data / "dataset.json").read_text(encoding="utf-8"))["labels"]
    organs = {name: int(number) for name, number in known.items() if name != "background"}
    classes = max(organs.values()) + 1
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=classes)
    network = network.to(args.device, memory_format=torch.channels_last)
    images, labels = training_slices(args.data, splits["train"])
    print(f"{len(images)} slices of {len(splits['train'])} cases", flush=True)
    run = train(network, images, labels, args)
    start = time.monotonic()
    rows = evaluate(network, args.data, splits["val"], organs, args)
    seconds = (time.monotonic() - start) / len(splits["val"])
    figures = summary(rows, run, seconds)
    path = write_result(
        "peer_unet",
        title="Peer: a plain U-Net on single slices, supervised",
        figures=figures,
        rows=rows,
        notes=[NOTE.format(train=len(splits["train"]), val=len(splits["val"]))],
        folder=args.results,
    )
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
