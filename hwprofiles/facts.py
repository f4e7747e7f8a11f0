"""Facts of a part: what the TOML file of a device or a link may say, in the vendor's units.

Every rate is dense and a peak, every bandwidth counts one direction. Each block names its source;
``confidence`` says how well that source holds. What a file does not say is not known.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwprofiles.units import GB, GIB, MIB, TFLOP

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Confidence = Literal["high", "medium", "low"]


class Block(BaseModel):
    """Any table of a file: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Sourced(Block):
    """A block whose numbers come from somewhere."""

    source: Text
    confidence: Confidence | None = None
    """``high``: two sources or the vendor's page; ``medium``: one mirror or arithmetic; ``low``:
    recalled or assumed. Every shipped block says it."""
    note: str = ""


class Compute(Sourced):
    """What computes on the device."""

    cores: Count | None = None
    """CPU cores, streaming multiprocessors, compute units or the accelerator's own cores."""
    lanes: Count | None = None
    """Vector lanes of float32 over all cores (NVIDIA: CUDA cores)."""
    base_mhz: Positive | None = None
    boost_mhz: Positive | None = None
    simd_base_mhz: Positive | None = None
    """Base clock of a CPU core under code heavy in AVX."""
    cache_mib: Positive | None = None
    """Last cache before the memory (L2, L3, Infinity Cache) or on-chip memory."""

    @property
    def cache_bytes(self) -> int | None:
        """Size of the last cache in bytes."""
        return None if self.cache_mib is None else round(self.cache_mib * MIB)


class Memory(Sourced):
    """Exactly one capacity: 1 GB = 1000^3 bytes, 1 GiB = 1024^3 bytes."""

    technology: Text | None = None
    channels: Count | None = None
    capacity_bytes: Count | None = None
    """What software sees, where a source gives it."""
    capacity_gb: Positive | None = None
    capacity_gib: Positive | None = None
    reserve_frac: Fraction | None = None
    """Share of ``capacity_gib`` that software does not see."""
    bandwidth_gb_per_s: Positive

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        given = [c for c in (self.capacity_bytes, self.capacity_gb, self.capacity_gib) if c]
        if len(given) != 1:
            raise ValueError("should have exactly one of capacity_bytes, _gb and _gib")
        if self.reserve_frac and not self.capacity_gib:
            raise ValueError("should have reserve_frac beside capacity_gib only")
        return self

    @property
    def total_bytes(self) -> int:
        """Capacity that a plan may fill, bytes."""
        in_gb, in_gib = self.capacity_gb or 0, self.capacity_gib or 0
        seen = 1 - (self.reserve_frac or 0)
        return self.capacity_bytes or round(in_gb * GB + in_gib * GIB * seen)


class Peak(Sourced):
    """Dense peaks by dtype: the vector unit's, and by ``_matrix`` the matrix unit's.

    Where only the rates of a matrix unit are published (TPU, Trainium, Gaudi) the plain key holds
    them, for no other rate is known.
    """

    float64_tflop_per_s: Positive | None = None
    float64_matrix_tflop_per_s: Positive | None = None
    float32_tflop_per_s: Positive | None = None
    float32_matrix_tflop_per_s: Positive | None = None
    tf32_tflop_per_s: Positive | None = None
    tf32_matrix_tflop_per_s: Positive | None = None
    float16_tflop_per_s: Positive | None = None
    float16_matrix_tflop_per_s: Positive | None = None
    bfloat16_tflop_per_s: Positive | None = None
    bfloat16_matrix_tflop_per_s: Positive | None = None
    fp8_tflop_per_s: Positive | None = None
    fp8_matrix_tflop_per_s: Positive | None = None
    int8_top_per_s: Positive | None = None
    int8_matrix_top_per_s: Positive | None = None
    fp4_tflop_per_s: Positive | None = None
    fp4_matrix_tflop_per_s: Positive | None = None

    @model_validator(mode="after")
    def _vector_beside_matrix(self) -> Self:
        rates = self.flop_per_s
        if not rates:
            raise ValueError("should have a rate, e.g. float32_tflop_per_s")
        for dtype in rates:
            plain = dtype.removesuffix("_matrix")
            if plain not in rates and "float32" not in rates:
                raise ValueError(
                    f"should have {plain}_tflop_per_s beside {dtype}_tflop_per_s, or"
                    " float32_tflop_per_s for the ops that are not products"
                )
        return self

    @property
    def flop_per_s(self) -> dict[str, float]:
        """Rates by dtype, operations per second."""
        found = {}
        for key in type(self).model_fields:
            dtype, _, unit = key.rpartition("_t")
            if unit in ("flop_per_s", "op_per_s") and (rate := getattr(self, key)) is not None:
                found[dtype] = rate * TFLOP
        return found


class Host(Sourced):
    """The way to the host: one direction, all lanes that the device has."""

    interface: Text
    part: Text | None = None
    """Name of the link part, where there is one."""
    bandwidth_gb_per_s: Positive | None = None


class ScaleUp(Sourced):
    """The links of one device to its peers (of a CPU: to the other socket)."""

    interface: Text
    part: Text | None = None
    """Name of the link part of one link, where there is one."""
    links: Count
    link_gb_per_s: Positive

    @property
    def total_gb_per_s(self) -> float:
        """All links of the device together, one direction. A single peer may see far less."""
        return self.links * self.link_gb_per_s


class Measured(Sourced):
    """What others measured: a plan that assumes more than this is too fast."""

    triad_gb_per_s: Positive | None = None
    float16_matmul_tflop_per_s: Positive | None = None
    bfloat16_matmul_tflop_per_s: Positive | None = None
    fp8_matmul_tflop_per_s: Positive | None = None


class Execution(Sourced):
    """What starting an op and moving data costs the device."""

    launch_overhead_us: NotNegative = 0.0
    transfers_hold_compute: bool = False


class Power(Sourced):
    """Most that the board (of a CPU: the socket) draws by design."""

    board_w: Positive


class Price(Sourced):
    """Price of one device for an hour."""

    usd_per_h: Positive
    date: Text


class DevicePart(Block):
    """All that the file of a device says."""

    title: Text
    kind: Literal["cpu", "gpu", "tpu"]
    """``tpu``: any accelerator built round a matrix unit that is not a GPU, Google's or not."""
    aliases: list[Text] = []
    vendor: Text | None = None
    year: int | None = None
    form: Text | None = None
    note: str = ""
    compute: Compute | None = None
    memory: Memory
    peak: Peak
    measured: Measured | None = None
    host: Host | None = None
    scale_up: ScaleUp | None = None
    execution: Execution | None = None
    power: Power | None = None
    price: Price | None = None


class LinkPart(Sourced):
    """All that the file of a link says; every bandwidth in one direction."""

    title: Text
    kind: Literal["host", "scale-up", "scale-out", "socket", "switch"] | None = None
    aliases: list[Text] = []
    links: Count = 1
    """How many links the part counts together."""
    bandwidth_gb_per_s: Positive
    """Raw: what the wire carries after line coding."""
    efficiency: Annotated[float, Field(gt=0, le=1)] | None = None
    """Measured share of the raw bandwidth that a large transfer reaches."""
    efficiency_basis: str = ""
    flow_cap_gb_per_s: Positive | None = None
    latency_us: NotNegative
    """Of a small message; of a range the low end."""
    latency_basis: str = ""
    endpoint_us: Positive | None = None
    """What a device adds at its end of this link, where ``latency_us`` is of the switch alone."""
    endpoint_basis: str = ""

    @model_validator(mode="after")
    def _every_basis(self) -> Self:
        if self.efficiency and not self.efficiency_basis:
            raise ValueError("should have efficiency_basis beside efficiency")
        if self.endpoint_us and not self.endpoint_basis:
            raise ValueError("should have endpoint_basis beside endpoint_us")
        return self

    @property
    def achievable_gb_per_s(self) -> float | None:
        """Raw bandwidth times the measured share; unknown where nothing was measured."""
        return None if self.efficiency is None else self.bandwidth_gb_per_s * self.efficiency
