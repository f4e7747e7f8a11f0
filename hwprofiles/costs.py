"""Op costs: the best evidence there is for the time of one op, measured > fitted > datasheet."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwprofiles.calibration import OpSample
from hwprofiles.device import Device
from hwprofiles.grade import Grade


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

    def cost(
        self, signature: str, op_class: str, dtype: str, flop: int, moved_bytes: int
    ) -> OpCost:
        """Return the time of an op: its own measurement, else the curve of its class.

        Parameters
        ----------
        signature : str
            Name of the op in the op store.
        op_class, dtype : str
            Choose the curve.
        flop, moved_bytes : int
            The op's work; a multiply-add is 2 FLOP, each element read or written counts once.

        Raises
        ------
        ProfileError
            When the op is not measured and the device has no rate for ``dtype``.

        Notes
        -----
        The device's launch overhead is added always: no kernel time contains it.
        """
        launch_s = self.device.launch_overhead_s
        if (sample := self.ops.get(signature)) is not None:
            where = "here" if sample.grade is Grade.MEASURED else "in another context"
            return OpCost(
                seconds=launch_s + sample.median_s,
                grade=sample.grade,
                source=f"median of {sample.repeats} repeats {where}",
            )
        curve = self.device.curve(op_class, dtype)
        return OpCost(
            seconds=launch_s + curve.time_s(float(flop), float(moved_bytes)),
            grade=curve.grade,
            source=curve.source,
        )
