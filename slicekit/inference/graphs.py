"""Networks as OpenVINO graphs: converted once through ONNX, then run on torch's own memory.

Graphs are dynamic in the number of slices or objects and in the size of a slice, so that one of
them serves every scan. Maps pass between torch and OpenVINO channels last and without a copy.
"""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from slicekit.errors import DeviceError
from slicekit.runtime import Runtime


@dataclass(frozen=True)
class Port:
    """One tensor that goes into a graph: ``(b, channels, side h, side w)``, or ``(b,)``."""

    name: str
    channels: int = 0
    """None make it one number a slice."""
    side: int = 16
    """Places along y and x for every 16 pixels of the slice."""
    many: bool = False
    """Whether b is as many as the caller likes; else 1."""
    half: bool = False
    """Whether it may come in bfloat16, as features do; numbers and slices do not."""
    cells: tuple[int, int] = (4, 5)
    """Size of the slice that a network is traced with, in cells of ``side`` places."""

    def example(self) -> Tensor:
        """Return a tensor to trace with."""
        b, (h, w) = 1 + self.many, self.cells
        return torch.rand((b, self.channels, self.side * h, self.side * w)[: self.axes])

    def free(self) -> dict[int, str]:
        """Return the axes that may change, each with a name."""
        axes = {0: f"{self.name}_b"} if self.many else {}
        return axes | ({2: f"{self.name}_y", 3: f"{self.name}_x"} if self.channels else {})

    @property
    def axes(self) -> int:
        """Number of axes."""
        return 4 if self.channels else 1


@cache
def _core() -> Any:
    """Return OpenVINO's engine, one for the whole process.

    An engine that is let go of takes the stack on which signals are handled with it, and the next
    Ctrl-C would end in a crash.
    """
    return openvino().Core()


class Graph:
    """A compiled network; calls from several threads wait for one another.

    Args:
        onnx: The network as ``to_onnx`` wrote it.
        ports: What goes in.
        half_out: Whether the results come in bfloat16 where the runtime computes in it.
        runtime: Precision and threads.

    Raises:
        DeviceError: OpenVINO cannot read or compile it.
    """

    def __init__(
        self, onnx: bytes, ports: Sequence[Port], *, half_out: bool, runtime: Runtime
    ) -> None:
        low = torch.bfloat16 if runtime.bf16 else torch.float32
        self.formats = [low if port.half else torch.float32 for port in ports]
        self.out = low if half_out else torch.float32
        self._lock = threading.Lock()
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if runtime.bf16 else "f32",
            "INFERENCE_NUM_THREADS": runtime.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # else processes side by side share their first core
        }
        core = _core()
        try:
            model = self._on_torch_memory(core.read_model(io.BytesIO(onnx)), ports)
            self._request = core.compile_model(model, "CPU", options).create_infer_request()
        except RuntimeError as fault:
            raise DeviceError(
                f"OpenVINO cannot run this network ({fault}); use --backend torch"
            ) from fault

    def _on_torch_memory(self, model: Any, ports: Sequence[Port]) -> Any:
        """Let maps come and go channels last, in the formats of this graph."""
        ov = openvino()
        if len(model.inputs) != len(ports):
            raise RuntimeError(f"{len(ports)} inputs became {len(model.inputs)}")
        steps = ov.preprocess.PrePostProcessor(model)
        for i, port in enumerate(ports):
            tensor = steps.input(i).tensor().set_element_type(_format(self.formats[i]))
            if port.channels:
                tensor.set_layout(ov.Layout("NHWC"))
                steps.input(i).model().set_layout(ov.Layout("NCHW"))
        for i in range(len(model.outputs)):
            steps.output(i).model().set_layout(ov.Layout("NCHW"))
            tensor = steps.output(i).tensor().set_element_type(_format(self.out))
            tensor.set_layout(ov.Layout("NHWC"))
        return steps.build()

    def __call__(self, *inputs: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Run the network.

        Args:
            inputs: One tensor a port, on the CPU, in any format and memory order.
            shapes: ``(b, c, y, x)`` of every result.

        Returns:
            The results, channels last.

        Raises:
            DeviceError: OpenVINO failed, or a shape is not the one it computes.
        """
        outputs = [
            torch.empty(tuple(shape), dtype=self.out, memory_format=torch.channels_last)
            for shape in shapes
        ]
        given = [_share(t.to(f)) for t, f in zip(inputs, self.formats, strict=True)]
        with self._lock:
            try:
                for i, tensor in enumerate(given):
                    self._request.set_input_tensor(i, tensor)
                for i, tensor in enumerate(outputs):
                    self._request.set_output_tensor(i, _share(tensor))
                self._request.infer()
            except RuntimeError as fault:
                raise DeviceError(f"OpenVINO failed ({fault}); use --backend torch") from fault
        return outputs


def to_onnx(module: nn.Module, ports: Sequence[Port]) -> bytes:
    """Convert a network as it is in ``eval`` mode; its own mode is left as it was.

    Raises:
        DeviceError: It holds something that cannot be converted.
    """
    buffer = io.BytesIO()
    with _evaluating(module), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        try:
            # Not dynamo's exporter: it takes 20 times as long, and more packages.
            torch.onnx.export(
                module,
                tuple(port.example() for port in ports),
                buffer,  # type: ignore[arg-type] # this exporter writes to memory as well
                dynamo=False,
                input_names=[port.name for port in ports],
                dynamic_axes={port.name: port.free() for port in ports if port.free()},
            )
        except (RuntimeError, TypeError, ImportError) as fault:
            raise DeviceError(
                f"this network cannot be converted for OpenVINO ({fault}); use --backend torch"
            ) from fault
    return buffer.getvalue()


@cache
def openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report the import to its maker."""
    name = "openvino_telemetry"
    before = {name: sys.modules[name]} if name in sys.modules else {}
    sys.modules[name] = None  # type: ignore[assignment] # not importable: a stub is taken instead
    try:
        import_module("openvino.preprocess")
        return import_module("openvino")
    finally:
        del sys.modules[name]
        sys.modules.update(before)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a network in ``eval`` mode for a while, and every part of it back after."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _share(tensor: Tensor) -> Any:
    """Return torch's memory as OpenVINO sees it: maps channels last, copied only if they are not.

    The result keeps the memory alive.
    """
    ov = openvino()
    rows = tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor
    rows = rows.detach().contiguous()
    if rows.dtype == torch.bfloat16:  # numpy has no such format
        return ov.Tensor(rows.view(torch.int16).numpy(), ov.Shape(list(rows.shape)), ov.Type.bf16)
    return ov.Tensor(rows.numpy(), shared_memory=True)


def _format(dtype: torch.dtype) -> Any:
    ov = openvino()
    return ov.Type.bf16 if dtype == torch.bfloat16 else ov.Type.f32
