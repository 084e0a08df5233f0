"""Sixteen pixels of a row at a time: the innermost steps of SLIC, as vector instructions.

numba does not find these vectors by itself, because it cannot know that the arrays lie apart.
Nothing here checks bounds: the caller's arrays hold sixteen values from every index on. No step
depends on the width of the processor's registers, so every processor gives the same answer.

After a change here, touch ``cluster.py`` and ``connect.py``: what numba kept of them it takes to be
good as long as those files are the same.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


class _Arrays:
    """The arguments of an intrinsic, read and written at an index."""

    def __init__(self, context: Any, builder: Any, signature: Any, given: Any) -> None:
        self._builder = builder
        self._data = [
            context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array)
            else None
            for kind, value in zip(signature.args, given, strict=True)
        ]

    def _at(self, number: int, index: Any, kind: Any) -> Any:
        place = self._builder.gep(self._data[number], [index])
        return self._builder.bitcast(place, kind.as_pointer())

    def load(self, number: int, index: Any, kind: Any) -> Any:
        return self._builder.load(self._at(number, index, kind), align=4)

    def spread(self, number: int, index: Any, kind: Any) -> Any:
        """Load one number into all sixteen lanes."""
        return _spread(self._builder, self.load(number, index, kind.element), kind)

    def store(self, number: int, index: Any, value: Any) -> None:
        self._builder.store(value, self._at(number, index, value.type), align=4)


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(_INTS, [0] * LANES))


@intrinsic
def nearest(typing, features, at, plane, channels, y, x, centres, names, low, high, owner, out):
    """Find the nearest of some centres for each of sixteen pixels.

    Args:
        typing: numba's own.
        features: Flat float32; channel ``c`` of pixel ``i`` is ``features[at + c * plane + i]``.
            A pixel that is NaN is near to nothing.
        at: Where the first pixel is in it.
        plane: From one channel to the next.
        channels: How many there are.
        y: Row of the pixels, float32.
        x: Column of the first pixel, float32.
        centres: Flat float32, row, column and channels of one centre after another.
        names: int32, what each of them is called.
        low: The first centre that is asked.
        high: One behind the last; of two at one distance the earlier wins.
        owner: int32; ``owner[out + i]`` becomes the name, or keeps what it has.
        out: Where the first pixel is in it.
    """

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = _Arrays(context, builder, signature, given)
        _, at, plane, channels, y, x, _, _, low, high, _, out = given
        two = ir.Constant(low.type, 2)
        entry = builder.add(channels, two)
        rows = _spread(builder, y, _FLOATS)
        steps = ir.Constant(_FLOATS, [float(lane) for lane in range(LANES)])
        columns = builder.fadd(_spread(builder, x, _FLOATS), steps)
        far = ir.Constant(_FLOATS, [float("inf")] * LANES)
        best = cgutils.alloca_once_value(builder, far)
        found = cgutils.alloca_once_value(builder, arrays.load(10, out, _INTS))
        total = cgutils.alloca_once(builder, _FLOATS)
        with cgutils.for_range(builder, high, start=low) as one:
            centre = builder.mul(one.index, entry)
            down = builder.fsub(rows, arrays.spread(6, centre, _FLOATS))
            beside = builder.add(centre, ir.Constant(low.type, 1))
            across = builder.fsub(columns, arrays.spread(6, beside, _FLOATS))
            place = builder.fadd(builder.fmul(down, down), builder.fmul(across, across))
            builder.store(place, total)
            with cgutils.for_range(builder, channels) as channel:
                pixels = builder.add(at, builder.mul(channel.index, plane))
                mean = builder.add(builder.add(centre, two), channel.index)
                value = arrays.load(0, pixels, _FLOATS)
                gap = builder.fsub(value, arrays.spread(6, mean, _FLOATS))
                builder.store(builder.fadd(builder.load(total), builder.fmul(gap, gap)), total)
            distance, held = builder.load(total), builder.load(best)
            nearer = builder.fcmp_ordered("<", distance, held)
            builder.store(builder.select(nearer, distance, held), best)
            name = arrays.spread(7, one.index, _INTS)
            builder.store(builder.select(nearer, name, builder.load(found)), found)
        arrays.store(10, out, builder.load(found))
        return context.get_dummy_value()

    whole, real = types.intp, types.float32
    return types.void(
        features, whole, whole, whole, real, real, centres, names, whole, whole, owner, whole
    ), emit


@intrinsic
def changes(typing, owner, x):
    """Tell by bit ``i`` whether ``owner[x + i]`` differs from ``owner[x + i - 1]``."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays, x = _Arrays(context, builder, signature, given), given[1]
        before = builder.sub(x, ir.Constant(x.type, 1))
        bits = builder.icmp_signed("!=", arrays.load(0, x, _INTS), arrays.load(0, before, _INTS))
        return builder.zext(builder.bitcast(bits, ir.IntType(LANES)), _INT)

    return types.uint32(owner, types.intp), emit


@intrinsic
def lowest(typing, bits):
    """Return the number of the lowest bit that is set; one must be."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), emit


@intrinsic
def fill(typing, array, at, value):
    """Write one int32 to the sixteen places from ``array[at]`` on."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = _Arrays(context, builder, signature, given)
        arrays.store(0, given[1], _spread(builder, given[2], _INTS))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int32), emit
