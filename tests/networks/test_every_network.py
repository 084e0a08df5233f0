"""What every network must do, run over all of them."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slicekit.networks import STCN, ALPNet, Committee, build, dense_read, pad_to_multiple

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
KINDS = [
    "transunet", "transunet+position", "deeplabv3plus", "attention-unet", "smp", "stcn", "alpnet",
    "committee",
]  # fmt: skip
CLASSES = 4


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "committee":
        return Committee(make("transunet"), make("deeplabv3plus")).eval()
    if kind == "smp":
        names = {"architecture": "FPN", "encoder": "tu-test_resnet"}
        return build("smp", classes=CLASSES, **names).eval()
    name, *option = kind.split("+")
    return build(name, "tiny", classes=CLASSES, position=True if option else None).eval()


def run(network: nn.Module, slices: Tensor) -> Tensor:
    """Logits (b, c, y, x) of any network; STCN carries soft masks made of the slices themselves,

    ALPNet a hard one.
    """
    if isinstance(network, ALPNet):
        masks = (slices[:, :1] > 0.5).float()
        return network(slices[:, None], masks[:, None], slices.flip(-1))
    if not isinstance(network, STCN):
        result = network(slices)
        return result if isinstance(result, Tensor) else torch.cat(result, dim=1)
    padded, box = pad_to_multiple(slices, 16)
    seen = network.encode_key(padded)
    values = network.encode_value(padded, padded[:, :2], seen.s16)
    asked = network.encode_key(padded.flip(-1))
    read = dense_read(seen.key[:, :, None], values[:, :, :, None], asked.key, top_k=3)
    return box.cut(network.decode(read, asked))


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return make(request.param)


def channels(network: nn.Module) -> int:
    if isinstance(network, Committee):
        return CLASSES * len(network.members)
    return 2 if isinstance(network, STCN | ALPNet) else CLASSES


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (16, 16), (33, 47), (50, 97), (7, 130)])
def test_any_size_comes_out_as_it_came_in(network: nn.Module, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        logits = run(network, torch.rand(1, 3, *size))
    assert logits.shape == (1, channels(network), *size)
    assert logits.isfinite().all()


def test_a_batch_of_two_is_two_batches_of_one(network: nn.Module) -> None:
    slices = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = run(network, slices)
        apart = torch.cat([run(network, one[None]) for one in slices])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_reaches_every_parameter(kind: str) -> None:
    network = make(kind)
    with torch.no_grad():  # the last norm of a residual branch starts at zero and lets nothing by
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    logits = run(network, torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)))
    (logits * torch.randn_like(logits)).sum().backward()
    dry = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not dry


def test_one_seed_gives_one_answer(network: nn.Module, request: pytest.FixtureRequest) -> None:
    slices = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(3))
    twin = make(request.node.callspec.params["network"])
    with torch.inference_mode():
        torch.testing.assert_close(run(network, slices), run(twin, slices), atol=0, rtol=0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "committee"])
def test_training_takes_a_batch_of_one(kind: str) -> None:
    network = make(kind).train()
    logits = run(network, torch.rand(1, 3, 24, 32))
    logits.mean().backward()
    assert logits.isfinite().all()


def test_channels_last_changes_nothing_but_speed(network: nn.Module) -> None:
    slices = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        plain = run(network, slices)
        last = run(network, slices.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, last, atol=1e-4, rtol=1e-4)


def test_bfloat16_stays_near_float32(network: nn.Module) -> None:
    slices = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        exact = run(network, slices)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = run(network, slices)
    assert (exact - rough.float()).abs().mean() < 0.1 * exact.std() + 0.02


@pytest.mark.parametrize(
    "kind", ["alpnet", "attention-unet", "deeplabv3plus", "dynunet", "stcn", "transunet"]
)
def test_golden_logits(kind: str) -> None:
    compute: Callable[[str], list[float]] = runpy.run_path(str(GOLDEN / "make.py"))["golden_logits"]
    wanted = json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))["logits"]
    assert compute(kind) == pytest.approx(wanted, abs=1e-3)
