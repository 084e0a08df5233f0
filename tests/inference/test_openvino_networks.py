"""Networks run by OpenVINO say what torch says in float32, as closely as the precision allows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from textbook_transunet import TRIAL
from torch import nn

from slicekit.data.phantom import make_phantom
from slicekit.errors import DeviceError, ShapeError
from slicekit.inference.cache import Cache
from slicekit.inference.model import load_model
from slicekit.inference.openvino_networks import Compiler, OpenVinoCommittee, OpenVinoSTCN
from slicekit.inference.pipeline import segment
from slicekit.metrics import dice
from slicekit.networks import Committee, SmpNetwork, TransUNet, build
from slicekit.networks.stcn import STCN, Features
from slicekit.runtime import Runtime, cpu_has_bf16, openvino_is_installed
from slicekit.volume import Volume

pytestmark = pytest.mark.skipif(
    not openvino_is_installed(), reason="openvino and onnx (the extra cpu) are not installed"
)
NO_BF16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bfloat16 arithmetic")
PRECISIONS = [False, pytest.param(True, marks=NO_BF16)]
SIZES = [(16, 16), (48, 80), (112, 32)]


def using(*, bf16: bool) -> Runtime:
    return Runtime(torch.device("cpu"), bf16=bf16, threads=1, backend="openvino")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("converted"))


@pytest.fixture(scope="session")
def networks(kept: Cache) -> Callable[..., tuple[STCN, OpenVinoSTCN]]:
    """An STCN with random weights, in torch and in OpenVINO."""

    def make(preset: str, *, bf16: bool) -> tuple[STCN, OpenVinoSTCN]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            ours = build("stcn", preset).eval()
        return ours, OpenVinoSTCN(ours, Compiler(using(bf16=bf16), kept, preset))

    return make


def close(guess: torch.Tensor, truth: torch.Tensor, *, bf16: bool) -> bool:
    """Tell whether values differ by what the precision allows, measured by their spread."""
    assert guess.shape == truth.shape
    error = (guess.float() - truth).square().mean().sqrt() / truth.square().mean().sqrt()
    return float(error) < (0.02 if bf16 else 1e-5)


def skips(network: STCN, features: Features) -> tuple[torch.Tensor, torch.Tensor]:
    return network.decoder.skips(features.s8, features.s4)


@pytest.mark.parametrize("bf16", PRECISIONS)
@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_keys_and_features_agree(networks, size, bf16: bool) -> None:
    torchs, openvinos = networks("tiny", bf16=bf16)
    frames = torch.rand(3, 3, *size)
    seen, mine = torchs.encode_key(frames), openvinos.encode_key(frames)
    assert mine.key.dtype == torch.float32
    for wanted, got in zip((*seen[:3], *skips(torchs, seen)), mine, strict=True):
        assert close(got, wanted, bf16=bf16)


@torch.inference_mode()
def test_keys_lose_nothing_after_the_features(networks) -> None:
    torchs, openvinos = networks("tiny", bf16=cpu_has_bf16())
    mine = openvinos.encode_key(torch.rand(1, 3, 32, 48))
    torch.testing.assert_close(mine.key, torchs.key_proj(mine.s16))


@pytest.mark.parametrize("bf16", PRECISIONS)
@pytest.mark.parametrize("objects", [1, 2, 3])
@torch.inference_mode()
def test_values_and_drawings_agree(networks, objects: int, bf16: bool) -> None:
    torchs, openvinos = networks("tiny", bf16=bf16)
    for slices, size in enumerate(SIZES, start=1):
        frames, masks = torch.rand(slices, 3, *size), torch.rand(slices, objects, *size)
        seen, mine = torchs.encode_key(frames), openvinos.encode_key(frames)
        wanted = torchs.encode_value(frames, masks, seen.s16)
        assert close(openvinos.encode_value(frames, masks, mine.s16), wanted, bf16=bf16)
        logits = openvinos.decode(wanted, mine)
        assert logits.dtype == torch.float32
        assert close(logits, torchs.decode(wanted, seen), bf16=bf16)


@torch.inference_mode()
def test_a_neighbours_mask_is_used_where_it_is_given(networks) -> None:
    torchs, openvinos = networks("region", bf16=False)
    frames, masks = torch.rand(2, 3, 32, 48), torch.rand(2, 3, 32, 48)
    seen, mine = torchs.encode_key(frames), openvinos.encode_key(frames)
    readout = torchs.encode_value(frames, masks, seen.s16)
    prior = torch.randint(-1, 2, (2, 3, 32, 48)).float()
    with_it, without = (torchs.decode(readout, seen, some) for some in (prior, None))
    assert not close(with_it, without, bf16=False)
    assert close(openvinos.decode(readout, mine, prior), with_it, bf16=False)
    assert close(openvinos.decode(readout, mine), without, bf16=False)
    with pytest.raises(ShapeError, match="prior must be"):
        openvinos.decode(readout, mine, prior[:, :1])


@torch.inference_mode()
def test_what_torchs_network_refuses_is_refused(networks) -> None:
    _, openvinos = networks("tiny", bf16=False)
    mine = openvinos.encode_key(torch.rand(1, 3, 32, 32))
    with pytest.raises(ShapeError, match="multiples of 16"):
        openvinos.encode_key(torch.rand(1, 3, 30, 32))
    with pytest.raises(ShapeError, match="frames must be"):
        openvinos.encode_value(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 16, 32), mine.s16)
    with pytest.raises(ShapeError, match="at least one object"):
        openvinos.decode(torch.rand(1, 0, 16, 2, 2), mine)


@pytest.mark.parametrize("bf16", PRECISIONS)
@pytest.mark.parametrize("preset", ["tiny", "position", "published"])
@torch.inference_mode()
def test_references_agree_at_any_size(kept: Cache, preset: str, bf16: bool) -> None:
    torch.manual_seed(0)
    if preset == "published":
        first: nn.Module = TransUNet(replace(TRIAL, position=False, published=True), classes=5)
    else:
        first = build("transunet", "tiny", classes=5, position=preset == "position")
    committee = Committee(
        first,
        build("deeplabv3plus", "tiny", classes=5),
        build("attention-unet", "tiny", classes=5),
    ).eval()
    mine = OpenVinoCommittee(committee, Compiler(using(bf16=bf16), kept, preset))
    for b, size in enumerate([(1, 1), (33, 70), (64, 64)], start=1):
        slices, position = torch.rand(b, 3, *size), torch.rand(b)
        for wanted, got in zip(committee(slices, position), mine(slices, position), strict=True):
            assert got.dtype == torch.float32
            assert close(got, wanted, bf16=bf16)


@pytest.mark.parametrize("bf16", PRECISIONS)
@torch.inference_mode()
def test_networks_of_others_agree_or_are_left_to_torch(kept: Cache, bf16: bool) -> None:
    torch.manual_seed(0)
    names = ("FPN", "PAN", "PSPNet")
    committee = Committee(
        *(build("smp", classes=5, architecture=name, encoder="tu-test_resnet") for name in names)
    ).eval()
    mine = OpenVinoCommittee(committee, Compiler(using(bf16=bf16), kept, "others"))
    assert [member in committee.members for member in mine.members] == [False, False, True]
    for b, size in enumerate([(1, 1), (150, 70)], start=1):
        slices = torch.rand(b, 3, *size)
        for wanted, got in zip(committee(slices), mine(slices), strict=True):
            assert close(got, wanted, bf16=bf16)


def test_a_network_bound_to_the_size_it_was_traced_with_is_left_to_torch(
    kept: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    class Bound(nn.Module):
        """Says how large its first slice was, ever after."""

        def forward(self, slices):
            rows = torch.arange(slices.shape[-1] + 0.0) + float(slices.shape[-2])
            return slices[:, :2] * rows

    network = SmpNetwork(Bound(), classes=2, multiple=16, least=32).eval()
    mine = OpenVinoCommittee(Committee(network), Compiler(using(bf16=False), kept, "bound"))
    assert mine.members == [network]
    assert "torch runs the Bound: OpenVINO" in caplog.text


def test_converting_leaves_the_network_in_its_mode(tmp_path: Path) -> None:
    network = build("stcn", "tiny").train()
    network.key_encoder.eval()
    before = {name: part.training for name, part in network.named_modules()}
    OpenVinoSTCN(network, Compiler(using(bf16=False), Cache(tmp_path), "one"))
    assert {name: part.training for name, part in network.named_modules()} == before


def test_the_second_time_nothing_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicekit.inference import openvino_networks as module

    network = build("stcn", "tiny").eval()

    def compiled(sha256: str) -> OpenVinoSTCN:
        return OpenVinoSTCN(network, Compiler(using(bf16=False), Cache(tmp_path), sha256))

    compiled("one")
    converted = len(list(tmp_path.iterdir()))

    def refuse(module: nn.Module, ports: object) -> bytes:
        raise DeviceError("converted again")

    monkeypatch.setattr(module, "to_onnx", refuse)
    compiled("one")
    with pytest.raises(DeviceError, match="converted again"):
        compiled("other weights")
    assert len(list(tmp_path.iterdir())) == converted == 3


def expect_same_labels(scan: Volume, model: str | Path, *, bf16: bool, cache: Cache) -> None:
    plain = Runtime(torch.device("cpu"), bf16=False, threads=1)
    wanted, got = (
        segment(scan, load_model(model, runtime, cache=cache.folder)).array
        for runtime in (plain, using(bf16=bf16))
    )
    present = set(wanted[wanted > 0])
    assert present
    for organ in present:
        assert dice(wanted == organ, got == organ) >= 0.995


def test_labels_of_the_whole_way_agree(trial_models: Path, phantoms, kept: Cache) -> None:
    model = trial_models / "trial_reference.toml"
    expect_same_labels(phantoms[0].image, model, bf16=False, cache=kept)


@pytest.mark.slow
@NO_BF16
def test_labels_of_a_trained_model_agree_in_half_precision(kept: Cache) -> None:
    # Random networks are undecided about most pixels, and there precision decides.
    made = make_phantom(np.random.default_rng(5), shape=(24, 256, 256), spacing_mm=(10.0, 1.5, 1.5))
    expect_same_labels(made.image, "ct_abdomen_reference", bf16=True, cache=kept)


def test_openvino_comes_without_its_telemetry() -> None:
    from slicekit.inference.graphs import openvino

    openvino()
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]


def test_a_signal_is_handled_after_a_network_was_let_go(tmp_path: Path) -> None:
    """In a process of its own: the fault would be a crash."""
    script = tmp_path / "late.py"
    script.write_text(
        "import faulthandler, gc, signal, sys\n"
        "faulthandler.enable()\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from slicekit.inference.cache import Cache\n"
        "from slicekit.inference.openvino_networks import Compiler, OpenVinoSTCN\n"
        "from slicekit.networks import build\n"
        "from slicekit.runtime import pick_runtime\n"
        "runtime = pick_runtime('cpu', backend='openvino')\n"
        "compiler = Compiler(runtime, Cache(Path(sys.argv[1])), 'none')\n"
        "network = OpenVinoSTCN(build('stcn', 'tiny').eval(), compiler)\n"
        "network.encode_key(torch.rand(1, 3, 32, 32))\n"
        "del network\n"
        "gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "signal.raise_signal(signal.SIGINT)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
