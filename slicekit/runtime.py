"""Device, precision and threads: decided once, at the top, and said aloud."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from slicekit.errors import DeviceError

log = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """Where the networks run and in which number format."""

    device: torch.device
    """A CPU or one CUDA device."""
    bf16: bool
    """Whether encoders and decoders run in bfloat16 (scores and losses stay float32)."""
    threads: int
    """Threads of one operation on the CPU."""

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
        """Move a network to the device, in the memory order that its convolutions like."""
        return network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def put(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the device; four axes are laid out channels last."""
        moved = tensor.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last) if moved.dim() == 4 else moved

    def __str__(self) -> str:
        return f"{self.device}, {self.precision}, {self.threads} threads"


def cpu_has_bf16() -> bool:
    """Tell whether this CPU multiplies bfloat16 in hardware (AMX or AVX512-BF16)."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    if capabilities == "DEFAULT" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - not a user's file
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def pick_runtime(
    device: str = "auto", *, precision: Precision = "auto", threads: int | None = None
) -> Runtime:
    """Decide device, precision and threads, and say so in the log.

    Args:
        device: ``"auto"`` takes a CUDA device where there is one; else ``"cpu"``,
            ``"cuda"`` or ``"cuda:1"``.
        precision: ``"auto"`` takes bfloat16 where the device multiplies it in hardware.
        threads: Threads of one operation; all cores when ``None``.

    Raises:
        DeviceError: The device or the precision is unknown, or is not to be had on this
            machine.
    """
    if precision not in get_args(Precision):
        raise DeviceError(f"unknown precision {precision!r}; use auto, float32 or bf16")
    if threads is not None and threads < 1:
        raise DeviceError(f"threads must be 1 or more, got {threads}; leave it out for all cores")
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
    able = cpu_has_bf16() if chosen.type == "cpu" else torch.cuda.is_bf16_supported()
    if precision == "bf16" and not able:
        raise DeviceError(f"{chosen} has no bfloat16 arithmetic; use --precision float32 or auto")
    count = threads or _usual_threads()
    torch.set_num_threads(count)
    runtime = Runtime(chosen, bf16=able and precision != "float32", threads=count)
    log.info("running on %s", runtime)
    return runtime


def _usual_threads() -> int:
    """Take OMP_NUM_THREADS where it is one number, else the cores this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
