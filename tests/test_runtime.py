"""Device, precision and threads are decided once; what cannot be had is refused."""

from __future__ import annotations

import pytest
import torch

from slicekit import machine
from slicekit import runtime as module
from slicekit.errors import DeviceError, MissingDependencyError
from slicekit.runtime import Runtime, pick_runtime


@pytest.fixture(autouse=True)
def no_cuda_and_threads_as_before(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_auto_without_a_gpu_is_the_cpu():
    chosen = pick_runtime(threads=1)
    assert chosen.device == torch.device("cpu")
    assert chosen.threads == torch.get_num_threads() == 1
    assert str(chosen).startswith("cpu, ")


@pytest.mark.parametrize(
    ("device", "cause"),
    [
        ("gpu", "unknown device 'gpu'; use auto, cpu, cuda"),
        ("meta", "runs on cpu and cuda, not on 'meta'"),
        ("cuda", "sees 0 CUDA devices"),
        ("cuda:7", "sees 0 CUDA devices"),
    ],
)
def test_devices_that_are_not_there_are_refused(device, cause):
    with pytest.raises(DeviceError, match=cause):
        pick_runtime(device)


def test_precision_follows_the_hardware_and_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: True)
    assert pick_runtime("cpu", threads=1).precision == "bf16"
    assert pick_runtime("cpu", precision="float32", threads=1).precision == "float32"
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: False)
    assert pick_runtime("cpu", threads=1).precision == "float32"
    with pytest.raises(DeviceError, match="no bfloat16 arithmetic"):
        pick_runtime("cpu", precision="bf16")


def test_unknown_precisions_and_no_threads_are_refused():
    with pytest.raises(DeviceError, match="unknown precision 'fp16'; use auto, float32 or bf16"):
        pick_runtime("cpu", precision="fp16")
    for threads in (0, -1):
        with pytest.raises(DeviceError, match="threads must be 1 or more"):
            pick_runtime("cpu", threads=threads)


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("0", None), ("2,1", None), ("", None)])
def test_threads_are_those_of_the_environment_where_it_says_one_number(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4}, raising=False)
    assert pick_runtime("cpu").threads == (threads or 5)


def test_tensors_are_laid_out_channels_last_and_keep_their_values():
    here = Runtime(torch.device("cpu"), bf16=False, threads=1)
    slices = torch.rand(2, 3, 4, 5)
    assert here.put(slices).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(here.put(slices), slices)
    assert here.put(torch.rand(3)).shape == (3,)
    convolution = here.place(torch.nn.Conv2d(3, 4, 3))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    both = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3), torch.nn.Conv2d(3, 4, 3))
    assert here.place(both)[0].weight.is_contiguous()  # solids have no such order


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_networks_run_in_the_chosen_precision(bf16, dtype):
    here = Runtime(torch.device("cpu"), bf16=bf16, threads=1)
    with here.autocast():
        assert torch.nn.Linear(3, 3)(torch.rand(2, 3)).dtype == dtype


@pytest.mark.parametrize(
    ("intel", "installed", "taken"),
    [(True, True, "openvino"), (True, False, "torch"), (False, True, "torch")],
)
def test_openvino_is_taken_on_intels_cpus_where_it_is_installed(
    monkeypatch, intel, installed, taken
):
    monkeypatch.setattr(module, "cpu_is_intel", lambda: intel)
    monkeypatch.setattr(module, "openvino_is_installed", lambda: installed)
    chosen = pick_runtime("cpu", threads=1)
    assert chosen.backend == taken
    assert f"cpu, {taken}, " in str(chosen)
    assert pick_runtime("cpu", threads=1, backend="torch").backend == "torch"


def test_openvino_is_refused_where_it_cannot_run(monkeypatch):
    with pytest.raises(DeviceError, match="unknown backend 'onnx'; use auto, torch or openvino"):
        pick_runtime("cpu", backend="onnx")
    monkeypatch.setattr(module, "openvino_is_installed", lambda: False)
    with pytest.raises(MissingDependencyError, match=r"install 'slicekit\[cpu\]' or use --backend"):
        pick_runtime("cpu", backend="openvino")
    monkeypatch.setattr(module, "openvino_is_installed", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with pytest.raises(DeviceError, match="openvino runs on the CPU, not on cuda"):
        pick_runtime("cuda", backend="openvino")
    assert pick_runtime("cuda", threads=1).backend == "torch"
