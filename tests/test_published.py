"""Published STCN checkpoints become weights files of ours, or are refused with the reason."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from slicekit import published
from slicekit.checkpoint import fill, load_weights, save_weights
from slicekit.errors import CheckpointError, RecipeError, SlicekitError, WriteError
from slicekit.inference.model import build_network, load_model
from slicekit.networks import STCN, build
from slicekit.published import import_published
from slicekit.recipes import parse_recipe
from slicekit.runtime import Runtime

KEYS = Path(__file__).resolve().parent / "fixtures" / "stcn_state_dict_keys.txt"
FIRST = "value_encoder.conv1.weight"
State = dict[str, Tensor]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> STCN:
    """A network of the published structure, but small; the importer is told to expect it."""
    monkeypatch.setattr(published, "PRESET", "tiny")
    torch.manual_seed(0)
    network = build("stcn", "tiny").eval()
    assert isinstance(network, STCN)
    return network


def saved(folder: Path, content: Any, **options: Any) -> Path:
    torch.save(content, folder / "stcn.pth", **options)
    return folder / "stcn.pth"


def refusal(file: Path, fault: type[SlicekitError] = CheckpointError, **options: Any) -> str:
    """Import what must be refused; nothing is left behind."""
    before = set(file.parent.iterdir())
    with pytest.raises(fault) as caught:
        import_published(file, file.with_name("out.safetensors"), **options)
    assert set(file.parent.iterdir()) == before
    return str(caught.value)


@torch.inference_mode()
def answer(network: STCN) -> Tensor:
    """Probabilities of two objects, carried from one slice to its mirror image."""
    random = torch.Generator().manual_seed(3)
    frames = torch.rand(1, 3, 32, 48, generator=random)
    masks = torch.zeros(1, 2, 32, 48)
    masks[:, 0, 3:14, 5:20] = masks[:, 1, 15:30, 18:40] = 1
    seen, asked = network.encode_key(frames), network.encode_key(frames.flip(-1))
    value = network.encode_value(frames, masks, seen.s16)
    return torch.sigmoid(network.decode(value.roll(1, dims=-1), asked))


def opened(path: Path) -> STCN:
    """The network of a weights file."""
    weights = load_weights(path)
    network = build_network(weights.recipe)
    fill(network, weights.state, source=str(path))
    assert isinstance(network, STCN)
    return network.eval()


def state_of_the_list(*, channels: int) -> State:
    """Random weights under the published names, of a size at which signals neither die nor grow."""
    random = torch.Generator().manual_seed(7)
    state: State = {}
    for line in KEYS.read_text(encoding="utf-8").splitlines():
        name, written = line.split(" ", 1)
        shape = [int(word) for word in re.findall(r"\d+", written)]
        if name == FIRST:
            shape[1] = channels
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(12_000)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=random)
        elif len(shape) == 1:
            state[name] = 0.5 + 0.1 * torch.randn(shape, generator=random)
        else:
            fan = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=random) * fan**-0.5
    return state


@pytest.mark.slow
@pytest.mark.parametrize("channels", [5, 4])
def test_a_file_of_the_published_names_is_imported_whole(tmp_path: Path, channels: int) -> None:
    state = state_of_the_list(channels=channels)
    file = saved(tmp_path, state)
    state[FIRST] = torch.nn.functional.pad(state[FIRST], (0, 0, 0, 0, 0, 5 - channels))
    path = import_published(file, tmp_path / "new" / "stcn_paper.safetensors")
    weights = load_weights(path)
    assert list(weights.state) == sorted(state)
    assert all(torch.equal(weights.state[name], state[name].half()) for name in state)
    recipe = weights.recipe
    assert (recipe.name, recipe.role, recipe.organs) == ("stcn_paper", "propagator", {})
    assert [network.preset for network in recipe.networks] == ["paper"]
    source = {"file": "stcn.pth", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert weights.card["imported_from"] == source
    assert source["sha256"] in recipe.about
    assert path.stat().st_size < 0.6 * file.stat().st_size  # float16
    original = build("stcn", "paper").eval()
    original.load_state_dict(state)
    torch.testing.assert_close(answer(opened(path)), answer(original), atol=5e-3, rtol=0)


@pytest.mark.parametrize("nest", [[], ["state_dict"], ["model"], ["network"], ["model", "network"]])
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_prefixes_and_nests_are_taken_away(
    tiny: STCN, tmp_path: Path, nest: list[str], prefix: str
) -> None:
    content: dict[str, Any] = {prefix + name: value for name, value in tiny.state_dict().items()}
    for key in nest:
        content = {"it": 150_000, key: content, "optimizer": {"lr": [0.1]}}
    path = import_published(saved(tmp_path, content), tmp_path / "out.safetensors", name="mine")
    assert load_weights(path).recipe.name == "mine"
    torch.testing.assert_close(answer(opened(path)), answer(tiny), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_precisions_and_the_older_form_are_read(
    tiny: STCN, tmp_path: Path, dtype: torch.dtype, zipped: bool
) -> None:
    tiny = tiny.half().float()  # so that all but bfloat16 hold it exactly
    state = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in tiny.state_dict().items()
    }
    file = saved(tmp_path, state, _use_new_zipfile_serialization=zipped)
    found = load_weights(import_published(file, tmp_path / "out.safetensors")).state
    exact = 0.0 if dtype != torch.bfloat16 else 1e-2
    for name, value in tiny.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=exact)


def test_weights_of_one_object_are_padded_with_zeros(tiny: STCN, tmp_path: Path) -> None:
    state = dict(tiny.state_dict())
    state[FIRST] = state[FIRST][:, :4].clone()
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    tiny.value_encoder.conv1.weight.data[:, 4] = 0
    assert not load_weights(path).state[FIRST][:, 4].any()
    torch.testing.assert_close(answer(opened(path)), answer(tiny), atol=1e-3, rtol=0)


def test_absent_batch_counters_count_as_zero(tiny: STCN, tmp_path: Path) -> None:
    state = {n: v for n, v in tiny.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert len(state) < len(tiny.state_dict())
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    torch.testing.assert_close(answer(opened(path)), answer(tiny), atol=1e-3, rtol=0)


def test_tensors_that_share_memory_are_stored_apart(tiny: STCN, tmp_path: Path) -> None:
    state = dict(tiny.half().state_dict())
    state[FIRST] = torch.zeros(1, dtype=torch.float16).expand(state[FIRST].shape)
    state["key_encoder.bn1.bias"] = state["key_encoder.bn1.weight"]
    path = import_published(saved(tmp_path, state), tmp_path / "out.safetensors")
    assert not load_weights(path).state[FIRST].any()


def test_an_imported_propagator_serves_a_reference(tiny: STCN, tmp_path: Path) -> None:
    path = import_published(saved(tmp_path, tiny.state_dict()), tmp_path / "out.safetensors")
    entry = load_weights(path).recipe.input
    kinds = ("transunet", "deeplabv3plus")
    reference = parse_recipe(
        {
            "name": "ref", "role": "reference", "input": entry.model_dump(),
            "organs": {"liver": 1}, "training": {"steps": 1},
            "networks": [{"kind": kind, "preset": "tiny"} for kind in kinds],
        },
        source="test",
    )  # fmt: skip
    beside = tmp_path / "ref.safetensors"
    save_weights(beside, build_network(reference).state_dict(), reference, card={})
    runtime = Runtime(torch.device("cpu"), bf16=False, threads=1)
    model = load_model(beside, runtime, propagator=path)
    assert isinstance(model.propagator, STCN)
    assert model.sha256["out"] == load_weights(path).sha256


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
def test_what_does_not_fit_is_refused_by_name(tiny: STCN, tmp_path: Path, fault: str) -> None:
    state, wanted = spoil(dict(tiny.state_dict()), fault)
    said = refusal(saved(tmp_path, state))
    assert said.startswith(f"{tmp_path / 'stcn.pth'}")
    assert wanted in said
    if "finite" in wanted:
        assert ("rounded to float16 (at most 65,504)" in said) == (fault == "too large")
    else:
        assert "wanted the weights of an STCN as its authors publish them" in said


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


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_case_29_code_in_a_file_is_never_run(tiny: STCN, tmp_path: Path, form: str) -> None:
    trace, content = tmp_path / "executed", tiny.state_dict() | {"a": Trap(tmp_path / "executed")}
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
    monkeypatch.setattr(published, "_LARGEST_BYTES", 1000)
    assert "more than any STCN (1,000)" in refusal(tmp_path / "stcn.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a file of torch.save"),
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
    tiny: STCN, tmp_path: Path, share: float, zipped: bool
) -> None:
    file = saved(tmp_path, tiny.state_dict(), _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    assert refusal(file).startswith(f"{file}: ")


def test_outputs_are_chosen_with_care(tiny: STCN, tmp_path: Path) -> None:
    file, out = saved(tmp_path, tiny.state_dict()), tmp_path / "out.safetensors"
    assert "cannot be read (No such file" in refusal(tmp_path / "none.pth")
    with pytest.raises(WriteError, match=r"end it in \.safetensors"):
        import_published(file, tmp_path / "out.pt")
    assert "name" in refusal(file, RecipeError, name="a b")
    import_published(file, out)
    before = out.read_bytes()
    with pytest.raises(WriteError, match="--overwrite"):
        import_published(file, out)
    assert out.read_bytes() == before
    again = load_weights(import_published(file, out, overwrite=True, name="again"))
    assert again.recipe.name == "again"
    with pytest.raises(WriteError, match="is the input itself"):
        import_published(out, out, overwrite=True)


def test_the_command_says_where_the_weights_went(
    tiny: STCN, tmp_path: Path, door: Callable[..., Any]
) -> None:
    file, out = saved(tmp_path, tiny.state_dict()), tmp_path / "out.safetensors"
    done = door("slicekit", "import-weights", file, "-o", out, "--name", "mine")
    assert (done.code, done.out) == (0, f"{out}\n")
    assert load_weights(out).recipe.name == "mine"
    again = door("slicekit", "import-weights", file, "-o", out)
    assert (again.code, again.out) == (1, "")
    assert "exists already" in again.err
    assert door("slicekit", "import-weights", file, "-o", out, "--overwrite").code == 0
    missing = door(
        "slicekit", "import-weights", tmp_path / "x.pth", "-o", tmp_path / "y.safetensors"
    )
    assert "x.pth: cannot be read" in missing.err
