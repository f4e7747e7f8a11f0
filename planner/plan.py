"""Plans: what is split, where it sits, and the rules it must keep."""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from hwprofiles.cluster import Cluster
from hwprofiles.units import KIB, MIB
from planner.model import ModelGraph
from planner.shapes import meets


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How the samples are stored, and how they may be read.

    All but the default needs an input pipeline (``Plan.decode_workers``).
    """

    encoding: str = "raw"
    """``raw``, or ``zlib``: each record compressed, and padded to ``stored_bytes``."""
    stored_bytes: int = 0
    """Bytes of a record in the file; 0 stands for the size that the model decodes."""
    throttle_bytes_per_s: float = 0.0
    """Most that all workers of a host read in a second; 0 sets no limit."""
    cold: bool = False
    """Whether what was read is dropped from the page cache, so that every read is the device's."""
    disk: int = 0
    """Number of the device that holds the file (``st_dev``): a cold read is measured on it."""
    content: int = 0
    """Number of what is compressed, for that decides how long decompression takes."""


ENCODINGS = ("raw", "zlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the user asked for; a plan never changes it."""

    batch: int
    """Samples of one synchronous update, over all workers."""
    dtype: str = "float32"
    optimizer: str = "sgd"
    """A file of ``planner.optimizers``, which says which of the settings below it takes."""
    learning_rate: float = 0.05
    """The default is SGD's."""
    momentum: float = 0.9
    beta1: float = 0.9
    """Share of the mean gradient that stays from step to step."""
    beta2: float = 0.999
    """Share of the mean squared gradient that stays."""
    epsilon: float = 1e-8
    """Added to the root of the mean squared gradient."""
    weight_decay: float = 0.01
    """Times the learning rate: share by which parameters shrink in a step."""
    seed: int = 0
    """Of the first parameters and of dropout."""
    source: Source = Source()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One way to train: layout, placement, exchange, registers."""

    workers: int
    microbatch: int
    """Samples of one forward and backward pass on one worker."""
    placement: tuple[int, ...]
    """Device of each rank."""
    algorithm: str
    """Collective algorithm of the gradient exchange; ``none`` for one worker."""
    bucket_bytes: int
    """A bucket of gradients closes once it holds this much."""
    overlap: bool
    """Whether a bucket may leave before the backward pass has ended."""
    input_slots: int = 1
    """Decoded microbatches that may wait."""
    activation_slots: int = 1
    """Microbatches whose activations may be alive at once."""
    landing_slots: int = 1
    """Chunks that may have arrived and not yet been added, a bucket."""
    decode_workers: int = 0
    """Processes that decode for each worker beside the step; 0: the step loads by itself."""
    prefetch: int = 2
    """Microbatches that each of them may hold undecoded, and again decoded."""
    decode_cores: int = 0
    """Cores that decode workers have to themselves; the others share the core of their worker."""

    def microbatches(self, batch: int) -> int:
        """Forward and backward passes of each worker in one step."""
        return batch // (self.workers * self.microbatch)

    @property
    def label(self) -> str:
        """Short name, unique among the candidates of one search.

        Numbers of slots are named where they are not 1; ``decode4x2`` are four decode workers that
        prefetch two microbatches each.
        """
        parts = [f"dp{self.workers}", f"mb{self.microbatch}"]
        if self.workers > 1:
            parts += [self.algorithm, size_name(self.bucket_bytes)]
            parts += ["overlap"] if self.overlap else []
        slots = {
            "input": self.input_slots,
            "activations": self.activation_slots,
            "landing": self.landing_slots,
        }
        parts += [f"{name}{count}" for name, count in slots.items() if count != 1]
        parts += [seats] if (seats := _seats(self.placement)) else []
        if self.decode_workers:
            parts.append(f"decode{self.decode_workers}x{self.prefetch}")
        return "-".join(parts)


NAMED_SEATS = 8
"""Ranks up to which a label names every device."""


def size_name(size_bytes: int) -> str:
    """Name the size of a bucket.

    >>> size_name(25 << 20), size_name(64 << 10), size_name(246_824)
    ('25MiB', '64KiB', '241KiB')
    """
    mebi, rest = divmod(size_bytes, MIB)
    return f"{mebi}MiB" if mebi and not rest else f"{size_bytes // KIB}KiB"


def _seats(placement: tuple[int, ...]) -> str:
    """Name the devices of a placement, unless they are the first ones in order.

    >>> _seats((0, 1)), _seats((0, 3, 2)), _seats(tuple(range(0, 64, 4)))
    ('', 'on0.3.2', 'on0.4.8...60')
    """
    if placement == tuple(range(len(placement))):
        return ""
    if len(placement) <= NAMED_SEATS:
        return f"on{'.'.join(map(str, placement))}"
    return f"on{'.'.join(map(str, placement[:3]))}...{placement[-1]}"


class Verdict(Enum):
    """Why a candidate cannot be; the value is the sentence a person reads."""

    FITS = "fits"
    DOES_NOT_DIVIDE = "the batch is not workers x microbatch x a whole number"
    SPLITS_NORM_GROUP = "the microbatch is not a multiple of the model's norm group"
    TOO_MANY_WORKERS = "more workers than the cluster has devices"
    NO_SUCH_SWITCH = "no switch that adds joins the devices of its workers"
    OUT_OF_MEMORY = "the static arena is larger than a device's memory"
    TOO_SLOW = "a step takes longer than is allowed, whatever happens"


def verdict(model: ModelGraph, training: Training, plan: Plan, cluster: Cluster) -> Verdict:
    """Check everything about a plan but its memory."""
    if plan.workers > len(cluster.devices):
        return Verdict.TOO_MANY_WORKERS
    if training.batch % (plan.workers * plan.microbatch):
        return Verdict.DOES_NOT_DIVIDE
    if plan.microbatch % model.norm_group:
        return Verdict.SPLITS_NORM_GROUP
    if not meets(plan.algorithm, cluster, plan.placement):
        return Verdict.NO_SUCH_SWITCH
    return Verdict.FITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A contiguous slice of the flat gradient that is exchanged as one."""

    first: int
    """First element."""
    end: int
    """One past the last element."""
    layers: tuple[int, ...]
    """Layers whose gradients lie in it."""
    place: int
    """Where in ``ModelGraph.passes`` its last gradient is whole."""

    @property
    def elements(self) -> int:
        """Number of gradients."""
        return self.end - self.first


def parameter_offsets(model: ModelGraph) -> dict[int, int]:
    """First element of each layer's parameters in the flat arrays.

    The last layer comes first: that is the order in which gradients become ready, so that every
    bucket is one slice. Within a layer: ``w`` then ``b``.
    """
    offsets: dict[int, int] = {}
    at = 0
    for i in reversed(range(len(model.layers))):
        if model.layers[i].parameter_count:
            offsets[i] = at
            at += model.layers[i].parameter_count
    return offsets


@lru_cache(maxsize=64)
def buckets(model: ModelGraph, bucket_elements: int) -> tuple[Bucket, ...]:
    """Cut the flat gradient at layer boundaries, a bucket closing once it is large enough."""
    found: list[Bucket] = []
    first, end, layers = 0, 0, list[int]()
    offsets = parameter_offsets(model)
    for layer in offsets:
        end += model.layers[layer].parameter_count
        layers.append(layer)
        if end - first >= bucket_elements or layer == min(offsets):
            place = model.gradient_places[layer]  # the backward pass goes down
            found.append(Bucket(first=first, end=end, layers=tuple(layers), place=place))
            first, layers = end, []
    return tuple(found)
