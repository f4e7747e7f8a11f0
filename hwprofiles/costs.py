"""Op costs: the best evidence there is for the time of one op, measured > fitted > datasheet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from hwprofiles.calibration import OpSample
from hwprofiles.device import Device, OpCurve
from hwprofiles.grade import Grade
from hwprofiles.tiles import Chain, Product


class Work(Protocol):
    """What the price of an op depends on."""

    @property
    def signature(self) -> str:
        """Name of the op in the op store."""

    @property
    def op_class(self) -> str:
        """Chooses the fitted curve, with ``dtype``."""

    @property
    def dtype(self) -> str:
        """Dtype that it computes in."""

    @property
    def flop(self) -> int:
        """Multiply-add = 2 FLOP."""

    @property
    def moved_bytes(self) -> int:
        """Each element read or written once."""

    @property
    def work_class(self) -> str:
        """Chooses what is reached of a peak: ``memory``, ``conv_3x3``, ``linear``, ..."""

    @property
    def channels(self) -> int:
        """The smaller side of a convolution's product of matrices; 0 where it does not matter."""

    @property
    def product(self) -> Product | None:
        """The product of matrices that it is; None where it is none, or many small ones."""

    @property
    def chain(self) -> Chain | None:
        """The small products among its own that wait for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCost:
    """The time of one op on a device, launch included, and how it is known."""

    seconds: float
    grade: Grade
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBook:
    """Where the op times of one device come from."""

    device: Device
    ops: Mapping[str, OpSample]
    """Measured ops by signature."""

    def slower(self, factor: float) -> "CostBook":
        """Return the book of a device on which every op takes ``factor`` times as long."""
        curves = {
            name: replace(
                curve,
                flop_per_s=curve.flop_per_s / factor,
                bytes_per_s=curve.bytes_per_s / factor,
                overhead_s=curve.overhead_s * factor,
            )
            for name, curve in self.device.curves.items()
        }
        ops = {
            name: replace(op, median_s=op.median_s * factor, iqr_s=op.iqr_s * factor)
            for name, op in self.ops.items()
        }
        peaks = {key: rate / factor for key, rate in self.device.peak_flop_per_s.items()}
        device = replace(
            self.device,
            curves=curves,
            peak_flop_per_s=peaks,
            memory_bytes_per_s=self.device.memory_bytes_per_s / factor,
            launch_overhead_s=self.device.launch_overhead_s * factor,
        )
        return CostBook(device=device, ops=ops)

    def cost(self, op: Work) -> OpCost:
        """Return the time of an op: its own measurement, else the curve of its class.

        Raises
        ------
        ProfileError
            When the op is not measured and the device has no rate for ``dtype``.

        Notes
        -----
        The device's launch overhead is added always: no kernel time contains it.
        """
        launch_s = self.device.launch_overhead_s
        sample = self.ops.get(op.signature) if self.ops else None
        if sample is not None:
            where = "here" if sample.grade is Grade.MEASURED else "in another context"
            return OpCost(
                seconds=launch_s + sample.median_s,
                grade=sample.grade,
                source=f"median of {sample.repeats} repeats {where}",
            )
        curve = self._curve(op)
        return OpCost(
            seconds=launch_s + curve.time_s(float(op.flop), float(op.moved_bytes)),
            grade=curve.grade,
            source=curve.source,
        )

    def grade(self, op: Work) -> Grade:
        """Return the grade of ``cost``."""
        sample = self.ops.get(op.signature) if self.ops else None
        return self._curve(op).grade if sample is None else sample.grade

    def _curve(self, op: Work) -> OpCurve:
        return self.device.curve(
            op.op_class,
            op.dtype,
            work_class=op.work_class,
            channels=op.channels,
            product=op.product,
            chain=op.chain,
        )
