"""The networks of a model run by OpenVINO, behind the same calls as torch's.

Scores and the memory stay with torch in float32, and so does the projection of keys: which places
of the memory are the best hangs on small differences.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

import slicekit.networks
from slicekit.checks import expect_shape
from slicekit.errors import DeviceError, ShapeError
from slicekit.inference.cache import Cache
from slicekit.inference.graphs import Graph, Port, to_onnx
from slicekit.networks.attention_unet import AttentionUNet
from slicekit.networks.committee import NAMES, Committee
from slicekit.networks.deeplab import DeepLabV3Plus
from slicekit.networks.smp import SmpNetwork
from slicekit.networks.stages import DrawStage, KeyStage, ValueStage
from slicekit.networks.stcn import STCN, Features, expect_grid
from slicekit.networks.stcn_parts import enlarge
from slicekit.networks.transunet import TransUNet
from slicekit.runtime import Runtime

log = logging.getLogger(__name__)

_LEFT_TO_TORCH = ("DPT", "PSPNet", "UPerNet")
"""Networks whose poolings and resamplings ONNX has no word for."""
_LARGEST_ERROR = 0.01
"""Of a network of others, as a share of the variance of what it says; bfloat16 makes 0.001."""


@dataclass(frozen=True)
class Compiler:
    """How networks become graphs.

    Converting takes seconds, so its result is kept; compiling that takes a tenth of one.
    """

    runtime: Runtime
    cache: Cache
    sha256: str
    """Of the network's tensors."""

    def __call__(
        self, part: str, module: nn.Module, ports: Sequence[Port], *, half_out: bool
    ) -> Graph:
        """Return a part of a network as a graph."""

        def convert() -> bytes:
            log.info("converting %s for OpenVINO, once", part)
            return to_onnx(module, ports)

        onnx = self.cache.get(f"{self._name(part, module, ports)}.onnx", convert)
        return Graph(onnx, ports, half_out=half_out, runtime=self.runtime)

    def _name(self, part: str, module: nn.Module, ports: Sequence[Port]) -> str:
        """Name what a conversion hangs on: weights, build, code and torch's version."""
        digest = hashlib.sha256(repr((self.sha256, part, str(module), ports)).encode())
        digest.update(f"torch {torch.__version__}".encode())
        for file in sorted(Path(slicekit.networks.__file__).parent.glob("*.py")):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:40]


class OpenVinoSTCN:
    """An STCN whose three parts OpenVINO runs; ``Features`` of one are of no use to the other.

    In the features that it returns ``s8`` and ``s4`` are the decoder's skip connections, already
    convolved: once a slice, however many objects it has and however they are grouped.

    Args:
        network: The network, on the CPU.
        compiler: How it is converted.
    """

    def __init__(self, network: STCN, compiler: Compiler) -> None:
        self.config = config = network.config
        self.key_proj = copy.deepcopy(network.key_proj).eval().requires_grad_(False)
        c16 = network.key_encoder.channels[2]
        w16, w8 = config.decoder_widths[:2]
        self._channels = (config.value_dim, c16, w16, w8)
        thin, s16 = Port("thin", config.value_dim, 1, half=True), Port("s16", c16, 1, half=True)
        readout = Port("readout", config.value_dim, 1, many=True, half=True)
        skips = [Port("s8", w16, 2, half=True), Port("s4", w8, 4, half=True)]
        prior = [Port("prior", 1, many=True), Port("asked")] if config.prior else []
        masks = Port("masks", 1, many=True)
        self._look = compiler(
            "key", KeyStage(network), [Port("frames", 3, many=True)], half_out=True
        )
        self._value = compiler(
            "value", ValueStage(network), [Port("frame", 3), masks, s16], half_out=True
        )
        ports = [readout, thin, *skips, *prior]
        self._draw = compiler("draw", DrawStage(network), ports, half_out=False)
        self._draw_each: Graph | None = None
        if config.prior:  # one object in each of several slices, as it is followed in regions
            ports = [replace(port, many=port.name != "asked") for port in ports]
            self._draw_each = compiler("draw each", DrawStage(network), ports, half_out=False)

    def encode_key(
        self,
        frames: Tensor,  # (b, 3, y, x) windows in [0, 1]
    ) -> Features:
        """Look at slices without any mask; as ``STCN.encode_key``."""
        b, _, y, x = expect_grid("frames", frames, "b 3 y x")
        sides = (16, 16, 8, 4)
        shapes = [(b, c, y // n, x // n) for c, n in zip(self._channels, sides, strict=True)]
        thin, s16, s8, s4 = self._look(frames, shapes=shapes)
        return Features(self.key_proj(s16), thin, s16, s8, s4)

    def encode_value(
        self,
        frames: Tensor,  # (b, 3, y, x) windows in [0, 1]
        masks: Tensor,  # (b, k, y, x) one channel an object, in [0, 1]
        s16: Tensor,  # (b, c, y/16, x/16) of ``encode_key`` for the same frames
    ) -> Tensor:  # (b, k, value_dim, y/16, x/16)
        """Look at slices with the masks of k objects; as ``STCN.encode_value``."""
        b, k, y, x = expect_grid("masks", masks, "b k y x")
        expect_shape("frames", frames, f"{b} 3 {y} {x}")
        shape = (k, self.config.value_dim, y // 16, x // 16)
        return _together(
            [
                self._value(frames[i, None], masks[i, :, None], s16[i, None], shapes=[shape])[0]
                for i in range(b)
            ]
        )

    def decode(
        self,
        readout: Tensor,  # (b, k, value_dim, h, w) of a memory bank
        features: Features,  # of ``encode_key``
        prior: Tensor | None = None,  # (b, k, 16 h, 16 w) -1 outside, 0 unknown, 1 inside
    ) -> Tensor:  # (b, k, 16 h, 16 w) float32 logits, one sigmoid an object
        """Turn what was read from memory into one logit map an object; as ``STCN.decode``."""
        b, cv, h, w = features.thin.shape
        k = expect_shape("readout", readout, f"{b} k {cv} {h} {w}")["k"]
        if not k:
            raise ShapeError(f"readout must hold at least one object, got {tuple(readout.shape)}")
        extra: list[list[Tensor]] = [[] for _ in range(b)]
        if self.config.prior:
            if prior is not None:
                expect_shape("prior", prior, f"{b} {k} {16 * h} {16 * w}")
            known = readout.new_zeros(b, k, 16 * h, 16 * w) if prior is None else prior
            extra = [[known[i, :, None], torch.full((1,), prior is not None)] for i in range(b)]
        if k == 1 and b > 1 and self._draw_each is not None and prior is not None:
            told = [readout[:, 0], *features[1:2], *features[3:], prior, torch.ones(1)]
            return enlarge(self._draw_each(*told, shapes=[(b, 1, 4 * h, 4 * w)])[0])
        maps = [
            self._draw(
                readout[i],
                *(part[i, None] for part in features[1:2] + features[3:]),
                *extra[i],
                shapes=[(k, 1, 4 * h, 4 * w)],
            )[0]
            for i in range(b)
        ]
        return _together([enlarge(logits).squeeze(1) for logits in maps])


class OpenVinoCommittee:
    """A reference whose networks OpenVINO runs; called as ``Committee``.

    Args:
        committee: The networks, on the CPU.
        compiler: How they are converted.
    """

    def __init__(self, committee: Committee, compiler: Compiler) -> None:
        named = zip(NAMES, committee.members, strict=False)
        self.members = [_member(name, member, compiler) for name, member in named]

    def __call__(
        self,
        slices: Tensor,  # (b, 3, y, x) windows in [0, 1]
        position: Tensor | None = None,  # (b,) in [0, 1]
    ) -> tuple[Tensor, ...]:  # (b, classes, y, x) float32 logits, one a member
        """Return what every member says of the same slices."""
        return tuple(member(slices, position) for member in self.members)


class _Score(nn.Module):
    """A reference network without its preparations."""

    def __init__(self, network: TransUNet | DeepLabV3Plus | AttentionUNet | SmpNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, slices: Tensor, places: Tensor | None = None, plane: Tensor | None = None
    ) -> Tensor:
        return self.network.score(*(t for t in (slices, places, plane) if t is not None))


class _Reference:
    """One network of a committee."""

    def __init__(self, part: str, network: nn.Module, compiler: Compiler) -> None:
        if not isinstance(network, TransUNet | DeepLabV3Plus | AttentionUNet | SmpNetwork):
            raise TypeError(f"{type(network).__name__} is no reference network")
        ports = [Port("slices", 3, many=True)]
        if isinstance(network, SmpNetwork):
            n = network.least // network.multiple
            ports = [Port("slices", 3, network.multiple, many=True, cells=(n, n + 1))]
        if isinstance(network, TransUNet):
            ports.append(Port("places", network.config.width, 1))
            ports += [Port("plane", 1, many=True)] if network.config.position else []
        self._prepare, self._classes = network.prepare, network.classes
        self._graph = compiler(part, _Score(network), ports, half_out=False)

    def __call__(self, slices: Tensor, position: Tensor | None) -> Tensor:
        inputs, box = self._prepare(slices, position)
        b, _, y, x = inputs[0].shape
        return box.cut(self._graph(*inputs, shapes=[(b, self._classes, y, x)])[0])


def _member(part: str, network: nn.Module, compiler: Compiler) -> Callable[..., Tensor]:
    """Return a network of a committee as OpenVINO runs it, or itself where it cannot.

    Not every network of others can be converted, and what can may be bound to the size that it
    was traced with; so their answers are compared at another one.
    """
    if not isinstance(network, SmpNetwork):
        return _Reference(part, network, compiler)
    architecture = type(network.network).__name__
    if architecture in _LEFT_TO_TORCH:
        log.info("torch runs the %s, which OpenVINO cannot", architecture)
        return network
    try:
        graph = _Reference(part, network, compiler)
        random = torch.Generator().manual_seed(0)
        side = 2 * network.least + network.multiple
        slices = torch.rand(1, 3, side, network.least, generator=random)
        with torch.inference_mode():
            wanted, got = network(slices), graph(slices, None)
    except DeviceError as fault:
        log.warning("torch runs the %s: %s", architecture, fault)
        return network
    error = float((got - wanted).square().mean() / wanted.var())
    if error < _LARGEST_ERROR:
        return graph
    log.warning("torch runs the %s: OpenVINO's answers are %.0e off", architecture, error)
    return network


def _together(slices: Sequence[Tensor]) -> Tensor:
    """Stack what belongs to several slices; that of one is not copied."""
    return slices[0][None] if len(slices) == 1 else torch.stack(list(slices))
