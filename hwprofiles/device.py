"""Devices: one thing that computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwprofiles.errors import ProfileError
from hwprofiles.grade import Grade
from hwprofiles.roofline import roofline_s
from hwprofiles.tiles import Chain, Product, chained_frac, tiled_frac, transformed_frac
from hwprofiles.units import Q

MATRIX_OPS = ("attention", "conv", "linear", "lstm", "matmul")
"""Op classes that begin so run on the matrix unit, where the device has a ``DTYPE_matrix`` peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCurve:
    """The roofline of one op class on one device."""

    flop_per_s: float
    bytes_per_s: float
    overhead_s: float = 0.0
    grade: Grade = Grade.DATASHEET
    source: str = ""
    hidden: bool = True
    """Whether the shorter of arithmetic and memory traffic is hidden behind the longer one."""

    def time_s(self, flop: Q, moved_bytes: Q) -> Q:
        """Time of one op of this class, seconds."""
        return roofline_s(
            flop,
            moved_bytes,
            flop_per_s=self.flop_per_s,
            bytes_per_s=self.bytes_per_s,
            overhead_s=self.overhead_s,
            hidden=self.hidden,
        )


NARROW = ("float16", "bfloat16")
"""Dtypes that are computed in float32 where that is faster, as on GeForce cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What a device reaches of its peaks, by class of work."""

    peak_frac: Mapping[str, float]
    """Fraction of the unit's peak by ``CLASS/DTYPE`` (``OpCall.work_class``)."""
    memory_frac: float
    """Fraction of the memory's rate."""
    elementwise_frac: Mapping[str, float]
    """By dtype: the same of ops that compute no product; above 1 where they are fused, so that less
    is moved than they declare."""
    kernel_s: float
    """Time of a kernel beside its work: launch, tail, small work."""
    elementwise_kernel_s: float
    """The same of ops that compute no product; 0 where they are part of the kernel before."""
    source: str
    extrapolated: tuple[str, ...] = ()
    """Dtypes whose fractions are those of another generation of devices."""


USUAL_DTYPES = ("float32", "bfloat16", "float16", "float64")
"""In the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator, socket or core. Every rate is dense, a peak, and in one direction."""

    name: str
    kind: str
    """``cpu``, ``gpu`` or ``tpu``."""
    memory_bytes: int
    memory_bytes_per_s: float
    peak_flop_per_s: Mapping[str, float]
    """Peak rate by dtype, e.g. ``{"float32": 1.57e13}``; a matrix unit's by ``float16_matrix``."""
    launch_overhead_s: float = 0.0
    """Cost of starting one op that no kernel time contains; every compute task pays it."""
    transfers_hold_compute: bool = False
    """True where a transfer is a copy by the compute cores themselves, without a spare one."""
    power_w: float | None = None
    price_usd_per_h: float | None = None
    source: str = ""
    curves: Mapping[str, OpCurve] = field(default_factory=dict)
    """Fitted roofline by op class; a class without one falls back to the efficiency."""
    cores: int = 1
    """Cores that tiles of a product are dealt to (streaming multiprocessors)."""
    efficiency: Efficiency | None = None
    """What published runs say of its generation; without it the datasheet's peaks are reached."""

    def __post_init__(self) -> None:
        if self.kind not in ("cpu", "gpu", "tpu"):
            raise ProfileError(f"device {self.name!r}: kind must be cpu, gpu or tpu: {self.kind!r}")
        sizes = {
            "memory_bytes": self.memory_bytes,
            "memory_bytes_per_s": self.memory_bytes_per_s,
            **self.peak_flop_per_s,
        }
        for key, rate in sizes.items():
            if not rate > 0:
                raise ProfileError(f"device {self.name!r}: {key} must be > 0, got {rate}")
        if not self.launch_overhead_s >= 0:
            raise ProfileError(
                f"device {self.name!r}: launch_overhead_s must be >= 0,"
                f" got {self.launch_overhead_s}"
            )

    def uses_matrix(self, dtype: str) -> bool:
        """Return whether products run on a matrix unit; a TPU has no other rate."""
        return self.kind == "tpu" or f"{dtype}_matrix" in self.peak_flop_per_s

    def curve(
        self,
        op_class: str,
        dtype: str,
        *,
        work_class: str = "memory",
        channels: int = 0,
        product: Product | None = None,
        chain: Chain | None = None,
    ) -> OpCurve:
        """Return the roofline to use for an op: the fitted one of its class, else the peaks'.

        Fitted curves are looked for by ``OP_CLASS:WORK_CLASS``, ``OP_CLASS`` and ``WORK_CLASS``.

        The last four choose the fraction of the peaks where an efficiency is known;
        ``channels`` 0 means that their number does not matter. Every step of a ``chain`` is a
        kernel, and takes the time of one beside its work.

        Raises
        ------
        ProfileError
            When the device has no rate for ``dtype`` (an unknown rate is refused, never guessed).

        Notes
        -----
        ASSUMES: the datasheet's peaks are reached. Real kernels reach 50-90 % of them.

        ASSUMES: where only the matrix unit has a rate for ``dtype``, or the vector unit a lower one
        than for float32, all other ops compute in float32 and keep ``dtype`` in memory, as the
        common frameworks do.
        """
        for name in (f"{op_class}:{work_class}", op_class, work_class) if self.curves else ():
            if (fitted := self.curves.get(f"{name}/{dtype}")) is not None:
                return fitted
        peaks = self.peak_flop_per_s
        matrix = peaks.get(f"{dtype}_matrix")
        vector = peaks.get(dtype, peaks.get("float32") if matrix else None)
        if vector and dtype in NARROW:
            vector = max(vector, peaks.get("float32", 0.0))
        rate = matrix if matrix and op_class.startswith(MATRIX_OPS) else vector
        if rate is None:
            known = ", ".join(sorted({key.removesuffix("_matrix") for key in peaks})) or "none"
            raise ProfileError(
                f"device {self.name!r}: no rate for op class {op_class!r} in {dtype}; known dtypes:"
                f" {known}"
            )
        steps = chain.steps if chain else 0
        peaks_only = OpCurve(
            flop_per_s=rate,
            bytes_per_s=self.memory_bytes_per_s,
            overhead_s=steps * self.launch_overhead_s,
            source=self.source,
        )
        shape = self.shape_frac(dtype, work_class, channels, product, chain)
        return self._reached(peaks_only, dtype, work_class, shape, steps)

    def computes(self, dtype: str) -> bool:
        """Whether there is a rate for all ops in ``dtype``."""
        peaks = self.peak_flop_per_s
        fitted = any(name.endswith(f"/{dtype}") for name in self.curves)
        return fitted or dtype in peaks or (f"{dtype}_matrix" in peaks and "float32" in peaks)

    def usual_dtype(self) -> str:
        """Return what is trained in where nobody names a dtype: float32, or else the next best."""
        return next((dtype for dtype in USUAL_DTYPES if self.computes(dtype)), USUAL_DTYPES[0])

    def shape_frac(
        self,
        dtype: str,
        work_class: str,
        channels: int,
        product: Product | None,
        chain: Chain | None = None,
    ) -> float:
        """Return the share of a unit's peak that the shape of an op leaves."""
        tiled = tiled_frac(product, self.cores) if product else 1.0
        if product and chain:
            tiled = chained_frac(product, chain, self.cores)
        if self.uses_matrix(dtype) or self.kind == "cpu":  # which transform nothing in training
            return tiled
        return tiled * transformed_frac(work_class, channels)

    def _reached(
        self, peak: OpCurve, dtype: str, work_class: str, shape: float, steps: int
    ) -> OpCurve:
        """Return what is reached of the roofline at the peaks."""
        known = self.efficiency
        if known is None:
            return peak
        if work_class == "memory":
            frac, memory_frac = 1.0, known.elementwise_frac.get(dtype, known.memory_frac)
            overhead_s = known.elementwise_kernel_s
        elif (reached := known.peak_frac.get(f"{work_class}/{dtype}")) is not None:
            frac, memory_frac = reached * shape, known.memory_frac
            overhead_s = peak.overhead_s + (1 + steps) * known.kernel_s
        else:
            return peak
        return OpCurve(
            flop_per_s=peak.flop_per_s * frac,
            bytes_per_s=peak.bytes_per_s * memory_frac,
            overhead_s=overhead_s,
            grade=Grade.EXTRAPOLATED if dtype in known.extrapolated else Grade.FITTED,
            source=known.source,
        )
