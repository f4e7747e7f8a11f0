"""Blocks of vectors that stay in registers, in LLVM's own words.

LLVM makes no such blocks of loops, so they are written as vectors of its own. It splits those that
are too long for a machine. All arrays are flat; places are in elements.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

DType = np.dtype[np.floating[Any]]

_FEATURES = binding.get_host_cpu_features()
_HAS_FEW = not _FEATURES.get("avx512f") and binding.get_process_triple().startswith("x86_64")
"""Whether there are 16 vector registers and not 32."""
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _HAS_FEW else 16
MAPS, VECTORS = (4, 3) if _HAS_FEW else (8, 3)
"""Largest block of ``sums``: as many as leave registers for some inputs and one weight."""
MAPS_BY_WEIGHTS = (2, 4) if _HAS_FEW else (4, 6)
"""Block of ``products``."""


def lanes(dtype: DType) -> int:
    """Return how many numbers a vector has."""
    return VECTOR_BYTES // dtype.itemsize


class _Vectors:
    """Loads, stores and sums of vectors of a dtype in code that is being built."""

    def __init__(self, builder: Any, dtype: DType) -> None:
        self.builder, self.lanes, self.align = builder, lanes(dtype), dtype.itemsize
        element = ir.FloatType() if dtype.itemsize == np.float32().itemsize else ir.DoubleType()
        self.type = ir.VectorType(element, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)

    def sums(self, count: int) -> list[Any]:
        """Return variables that hold a vector each, 0; they end up in registers."""
        return [cgutils.alloca_once_value(self.builder, self.zero) for _ in range(count)]

    def load(self, address: Any, at: Any) -> Any:
        """Return the vector whose first element is at ``address + at``."""
        return self.builder.load(self._place(address, at), align=self.align)

    def store(self, vector: Any, address: Any, at: Any) -> None:
        """Write a vector to ``address + at``."""
        self.builder.store(vector, self._place(address, at), align=self.align)

    def _place(self, address: Any, at: Any) -> Any:
        place = self.builder.gep(address, [at])
        return self.builder.bitcast(place, self.type.as_pointer())

    def splat(self, number: Any) -> Any:
        """Return a vector of one number."""
        undefined = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(undefined, number, _int(0, 32))
        return self.builder.shuffle_vector(one, undefined, self._order([0] * self.lanes))

    def add_product(self, a: Any, b: Any, total: Any) -> None:
        """Add ``a b`` to the variable ``total``, rounding once where a machine can."""
        build, once = self.builder, ("contract",)
        product = build.fmul(a, b, flags=once)
        build.store(build.fadd(product, build.load(total), flags=once), total)

    def totals(self, vectors: list[Any]) -> list[Any]:
        """Return vectors of the sums of all lanes of each vector."""
        build, even = self.builder, range(0, 2 * self.lanes, 2)
        evens, odds = self._order(even), self._order([i + 1 for i in even])
        for _ in range(self.lanes.bit_length() - 1):
            pairs = [*vectors, self.zero] if len(vectors) % 2 else vectors
            vectors = [
                build.fadd(build.shuffle_vector(a, b, evens), build.shuffle_vector(a, b, odds))
                for a, b in zip(pairs[::2], pairs[1::2], strict=True)
            ]
        return vectors

    @staticmethod
    def _order(lanes: Any) -> Any:
        order = list(lanes)
        return ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)


def _int(value: int, bits: int = 64) -> Any:
    return ir.Constant(ir.IntType(bits), value)


def _unpacked(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Return addresses of arrays and members of tuples, in the order of the arguments."""
    found: list[Any] = []
    for kind, value in zip(signature.args, arguments, strict=True):
        if isinstance(kind, types.Array):
            found.append(context.make_array(kind)(context, builder, value=value).data)
        else:
            found += cgutils.unpack_tuple(builder, value)
    return found


def sums(dtype: DType, maps: int, vectors: int) -> Any:
    """Return what writes ``maps`` by ``vectors`` of ``y``: sums over channels and taps of ``w x``.

    Called with ``x, w, b, y``, places of taps in ``x`` and in ``w``, (where to begin in ``x``,
    ``w``, ``b``, ``y``), (channels, their step in ``x``, in ``w``, taps), (step of maps in ``w``,
    in ``y``).
    """

    @intrinsic
    def block(  # noqa: PLR0913
        _: Any,
        x: Any,
        w: Any,
        b: Any,
        y: Any,
        x_taps: Any,
        w_taps: Any,
        at: Any,
        how: Any,
        steps: Any,
    ) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (
                *addresses,
                x_at,
                w_at,
                b_at,
                y_at,
                channels,
                x_step,
                w_step,
                taps,
                w_map,
                y_map,
            ) = _unpacked(context, builder, signature, arguments)
            x, w, b, y, x_taps, w_taps = addresses
            v = _Vectors(builder, dtype)
            total = v.sums(maps * vectors)
            places = [_int(i * v.lanes) for i in range(vectors)]
            for k in range(maps):
                bias = builder.load(builder.gep(b, [builder.add(b_at, _int(k))]))
                for i in range(vectors):
                    builder.store(v.splat(bias), total[k * vectors + i])
            with cgutils.for_range(builder, channels) as channel:
                from_x = builder.gep(x, [builder.add(x_at, builder.mul(channel.index, x_step))])
                from_w = builder.gep(w, [builder.add(w_at, builder.mul(channel.index, w_step))])
                with cgutils.for_range(builder, taps) as tap:
                    read = builder.gep(from_x, [builder.load(builder.gep(x_taps, [tap.index]))])
                    weight = builder.gep(from_w, [builder.load(builder.gep(w_taps, [tap.index]))])
                    row = [v.load(read, place) for place in places]
                    for k in range(maps):
                        place = builder.mul(w_map, _int(k))
                        one = v.splat(builder.load(builder.gep(weight, [place])))
                        for i in range(vectors):
                            v.add_product(one, row[i], total[k * vectors + i])
            for k in range(maps):
                line = builder.gep(y, [builder.add(y_at, builder.mul(y_map, _int(k)))])
                for i in range(vectors):
                    v.store(builder.load(total[k * vectors + i]), line, places[i])
            return context.get_dummy_value()

        return types.void(x, w, b, y, x_taps, w_taps, at, how, steps), build

    return block


def products(dtype: DType, maps: int, weights: int) -> Any:
    """Return what writes the sums of products of ``maps`` of ``dy`` by ``weights`` taps of ``x``.

    Called with ``x``, ``dy`` (maps, rows, vectors), places of taps, room for the sums, (where to
    begin in ``x``, first tap, last tap there is, step of rows in ``x``), (rows, vectors of a row).
    """

    @intrinsic
    def block(_: Any, x: Any, dy: Any, taps: Any, out: Any, at: Any, counts: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, dy, taps, out, x_at, tap, last, x_step, rows, vectors = _unpacked(
                context, builder, signature, arguments
            )
            v = _Vectors(builder, dtype)
            total = v.sums(maps * weights)
            wide = builder.mul(vectors, _int(v.lanes))
            deep = builder.mul(rows, wide)
            from_dy = [builder.gep(dy, [builder.mul(deep, _int(k))]) for k in range(maps)]
            from_x = []
            for m in range(weights):
                one = builder.add(tap, _int(m))
                one = builder.select(builder.icmp_signed("<", one, last), one, last)
                offset = builder.load(builder.gep(taps, [one]))
                from_x.append(builder.gep(x, [builder.add(x_at, offset)]))
            with cgutils.for_range(builder, rows) as row:
                dy_line, x_line = builder.mul(row.index, wide), builder.mul(row.index, x_step)
                with cgutils.for_range(builder, vectors) as vector:
                    place = builder.mul(vector.index, _int(v.lanes))
                    given = [v.load(address, builder.add(dy_line, place)) for address in from_dy]
                    for m in range(weights):
                        read = v.load(from_x[m], builder.add(x_line, place))
                        for k in range(maps):
                            v.add_product(given[k], read, total[k * weights + m])
            for i, found in enumerate(v.totals([builder.load(one) for one in total])):
                v.store(found, out, _int(i * v.lanes))
            return context.get_dummy_value()

        return types.void(x, dy, taps, out, at, counts), build

    return block


def routed(dtype: DType) -> Any:
    """Return what adds a vector of ``dy`` to the first places of its window that hold ``y``.

    Called with ``x, y, dy, dx``, (where the window begins in ``x``, its outputs in ``y``), (rows
    and columns of the window, their steps).
    """

    @intrinsic
    def block(_: Any, x: Any, y: Any, dy: Any, dx: Any, at: Any, window: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, y, dy, dx, x_at, y_at, rows, columns, x_row, x_column = _unpacked(
                context, builder, signature, arguments
            )
            v = _Vectors(builder, dtype)
            largest = v.load(y, y_at)
            left = cgutils.alloca_once_value(builder, v.load(dy, y_at))
            with cgutils.for_range(builder, rows) as row:
                line = builder.add(x_at, builder.mul(row.index, x_row))
                with cgutils.for_range(builder, columns) as column:
                    place = builder.add(line, builder.mul(column.index, x_column))
                    is_here = builder.fcmp_ordered("==", v.load(x, place), largest)
                    rest = builder.load(left)
                    given = builder.select(is_here, rest, v.zero)
                    v.store(builder.fadd(v.load(dx, place), given), dx, place)
                    builder.store(builder.select(is_here, v.zero, rest), left)
            return context.get_dummy_value()

        return types.void(x, y, dy, dx, at, window), build

    return block
