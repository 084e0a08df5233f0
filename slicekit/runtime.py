"""Device, precision, threads and backend: decided once, at the top, and said aloud."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from slicekit.errors import DeviceError, MissingDependencyError
from slicekit.machine import cpu_bf16_units, cpu_is_intel, openvino_is_installed, usual_threads

log = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bf16"]
Backend = Literal["auto", "torch", "openvino"]


@dataclass(frozen=True)
class Runtime:
    """Where the networks run and in which number format."""

    device: torch.device
    """A CPU or one CUDA device."""
    bf16: bool
    """Whether encoders and decoders run in bfloat16 (scores and losses stay float32)."""
    threads: int
    """Threads of one operation on the CPU."""
    backend: Literal["torch", "openvino"] = "torch"
    """Who runs the networks of a loaded model; training is always torch's."""

    @property
    def precision(self) -> str:
        """``"bf16"`` or ``"float32"``."""
        return "bf16" if self.bf16 else "float32"

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which networks are run."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def place(self, network: torch.nn.Module) -> torch.nn.Module:
        """Move a network to the device, in the memory order that its convolutions like.

        Those of solids keep theirs.
        """
        if any(parameter.dim() > 4 for parameter in network.parameters()):
            return network.to(device=self.device)
        return network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def put(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the device; four axes are laid out channels last."""
        moved = tensor.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last) if moved.dim() == 4 else moved

    def __str__(self) -> str:
        return f"{self.device}, {self.backend}, {self.precision}, {self.threads} threads"


def cpu_has_bf16() -> bool:
    """Tell whether this CPU multiplies bfloat16 in hardware (AMX or AVX512-BF16)."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    if capabilities == "DEFAULT" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(cpu_bf16_units())


def pick_runtime(
    device: str = "auto",
    *,
    precision: Precision = "auto",
    threads: int | None = None,
    backend: Backend = "auto",
) -> Runtime:
    """Decide device, precision, threads and backend, and say so in the log.

    Args:
        device: ``"auto"`` takes a CUDA device where there is one; else ``"cpu"``,
            ``"cuda"`` or ``"cuda:1"``.
        precision: ``"auto"`` takes bfloat16 where the device multiplies it in hardware.
        threads: Threads of one operation; all cores when ``None``.
        backend: ``"auto"`` takes OpenVINO on an Intel CPU where it is installed, else torch.

    Raises:
        DeviceError: Device, precision or backend is unknown, or is not to be had on this
            machine.
        MissingDependencyError: OpenVINO was asked for, but is not installed.
    """
    if precision not in get_args(Precision):
        raise DeviceError(f"unknown precision {precision!r}; use auto, float32 or bf16")
    if threads is not None and threads < 1:
        raise DeviceError(f"threads must be 1 or more, got {threads}; leave it out for all cores")
    chosen = _pick_device(device)
    able = cpu_has_bf16() if chosen.type == "cpu" else torch.cuda.is_bf16_supported()
    if precision == "bf16" and not able:
        raise DeviceError(f"{chosen} has no bfloat16 arithmetic; use --precision float32 or auto")
    count = threads or usual_threads()
    torch.set_num_threads(count)
    runtime = Runtime(
        chosen,
        bf16=able and precision != "float32",
        threads=count,
        backend=_pick_backend(backend, chosen),
    )
    log.info("running on %s", runtime)
    return runtime


def _pick_device(device: str) -> torch.device:
    """Return a device that is there."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        chosen = torch.device(name)
    except RuntimeError as fault:
        raise DeviceError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:N") from fault
    if chosen.type not in ("cpu", "cuda"):
        raise DeviceError(f"slicekit runs on cpu and cuda, not on {device!r}")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{device!r} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices; "
            "use --device cpu or --device auto"
        )
    return chosen


def _pick_backend(backend: Backend, device: torch.device) -> Literal["torch", "openvino"]:
    """Return who runs the networks; OpenVINO for itself only where it was measured to be faster."""
    if backend not in get_args(Backend):
        raise DeviceError(f"unknown backend {backend!r}; use auto, torch or openvino")
    installed = openvino_is_installed()
    if backend == "auto":
        fast = device.type == "cpu" and cpu_is_intel()
        return "openvino" if fast and installed else "torch"
    if backend == "openvino" and device.type != "cpu":
        raise DeviceError(
            f"the backend openvino runs on the CPU, not on {device}; use --device cpu or "
            "--backend torch"
        )
    if backend == "openvino" and not installed:
        raise MissingDependencyError(
            "the backend openvino needs the packages openvino and onnx, which are not both "
            "installed; install 'slicekit[cpu]' or use --backend torch"
        )
    return backend
