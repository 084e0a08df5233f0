"""Make the golden values: eight logits a network, fixed seed, CPU, float32. Run: make golden."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from slicekit.networks import BUILDERS, STCN, ALPNet, DynUNet, build, dense_read

FOLDER = Path(__file__).resolve().parent
SEED = 22


def run_network(network: nn.Module, slices: Tensor) -> Tensor:
    """Return logits ``(b, c, y, x)``; few-shot and memory networks carry two boxes.

    To a volumetric network the channels are four slices of a solid.
    """
    if isinstance(network, DynUNet):
        solid = torch.cat([slices, slices[:, :1]], dim=1)[:, None]
        return network(solid).flatten(1, 2)
    b, _, y, x = slices.shape
    masks = torch.zeros(b, 2, y, x)
    masks[:, 0, : y // 2, : x // 2] = 1
    masks[:, 1, y // 2 :, x // 4 :] = 1
    if isinstance(network, ALPNet):
        return network(slices[:, None], masks[:, None], slices.flip(-1))
    if not isinstance(network, STCN):
        logits: Tensor = network(slices)
        return logits
    seen, asked = network.encode_key(slices), network.encode_key(slices.flip(-1))
    values = network.encode_value(slices, masks, seen.s16)
    read = dense_read(seen.key[:, :, None], values[:, :, :, None], asked.key)
    return network.decode(read, asked)


def golden_logits(kind: str) -> list[float]:
    """Return eight logits of a tiny network, spread evenly over its output."""
    torch.manual_seed(SEED)
    network = build(kind, "tiny", classes=4).eval()
    ramp = torch.linspace(0, 1, 3 * 48 * 64).reshape(1, 3, 48, 64)
    with torch.inference_mode():
        logits = run_network(network, torch.sin(7 * ramp) ** 2).flatten()
    where = torch.linspace(0, logits.numel() - 1, 8).long()
    return [round(float(value), 4) for value in logits[where]]


def main() -> None:
    """Write one file a network."""
    for kind in sorted(BUILDERS):
        text = json.dumps({"seed": SEED, "logits": golden_logits(kind)}, indent=2)
        (FOLDER / f"{kind}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
