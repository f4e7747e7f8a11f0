"""Rows of a table of published collectives: what was run, apart from what was measured."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import UnitError
from hwprofiles.units import GB, US, parse_bytes
from planner.collectives.base import busbw_factor
from planner.published.names import lines_of, measured

SMALL = Path(__file__).with_name("collectives.csv")
"""Collectives inside one node of H100 and of B200, from a published table of measured ops."""

RESULTS = ("time_us", "algbw_gbps", "busbw_gbps")
LABELS = ("case_id", "source", "url", "provenance", "notes")
"""Columns that no prediction reads, beside the results."""
NEEDED = (
    *((name,) for name in ("case_id", "source", "system", "devices", "collective", "bytes")),
    tuple(sorted(RESULTS)),
)
"""Columns of a table, one of each group."""
FLAGS = ("FLAG", "CHECK")
"""Words in the notes of a row that contradicts another, or was inferred."""
OPERATIONS = {
    "allreduce": "all_reduce",
    "allgather": "all_gather",
    "reducescatter": "reduce_scatter",
    "allgatherintotensor": "all_gather",
    "reducescattertensor": "reduce_scatter",
    "alltoall": "all_to_all",
    "alltoallsingle": "all_to_all",
    "aa": "all_to_all",
    "allall": "all_to_all",
    "psum": "all_reduce",
    "psumscatter": "reduce_scatter",
    "sendrecv": "send_receive",
    "sendreceive": "send_receive",
    "broadcast": "broadcast",
    "bcast": "broadcast",
    "reduce": "reduce",
}
"""What tables call a collective, in lower case letters alone, and what it is called here."""
LIBRARIES = "^(nccl|rccl|oneccl|hccl|mpi)|perf$"
"""What names of functions and of benchmark programs have beside."""
WHOLE = ("bytes", "devices", "nodes")
"""Columns of whole numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveRow:
    """One published call."""

    case_id: str
    source: str
    told: Mapping[str, str]
    """What was run, by column; stripped, blank where it is not stated."""
    flagged: bool
    """Whether its notes mark the row as doubtful."""
    time_s: float | None
    """Of one call; from a bandwidth where only that is printed."""


def is_collectives(path: Path) -> bool:
    """Say whether a table is one of collectives, by the names of its columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            columns = {name.strip().lower() for name in next(csv.reader(file), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return False  # whoever reads it says so
    return {"collective", "bytes"} <= columns


def operation_of(told: str) -> str | None:
    """Return our name of what a table calls a collective.

    >>> operation_of("alltoall"), operation_of("All-Reduce"), operation_of("gossip")
    ('all_to_all', 'all_reduce', None)
    >>> operation_of("all_reduce_perf"), operation_of("ncclAllGather")
    ('all_reduce', 'all_gather')
    >>> operation_of("a2a"), operation_of("all_reduce (in-place)")
    ('all_to_all', 'all_reduce')
    """
    bare = "".join(filter(str.isalpha, re.sub("[(].*[)]", "", told.lower())))
    return OPERATIONS.get(re.sub(LIBRARIES, "", bare))


def whole(text: str) -> str:
    """Return a number of bytes, devices or nodes in digits, as it stands where it is none.

    A letter alone is what nccl-tests take it for: KiB, MiB or GiB.

    >>> whole("8.0"), whole("1,024"), whole("64 MiB"), whole("many")
    ('8', '1024', '67108864', 'many')
    >>> whole("64M")
    '67108864'
    """
    text = re.sub("(?i)(?<=[0-9])([kmg])$", r"\1iB", text)
    try:
        return str(parse_bytes(text.replace(",", "")))
    except UnitError:
        return text


def read_collectives(path: Path) -> tuple[CollectiveRow, ...]:
    """Read a table; the columns are those of the README beside the published tables.

    Raises
    ------
    RecordError
        When the file cannot be read, lacks a column, or states a result that is no number.
    """
    lines = lines_of(path, "collective", NEEDED)
    return tuple(_row(path, number, line) for number, line in lines)


def _row(path: Path, number: int, line: dict[str, str]) -> CollectiveRow:
    text = line | {key: whole(line[key]) for key in WHOLE if key in line}

    def result(column: str) -> float:
        return measured(f"{path}: line {number}: {column}", text.get(column, "")) or 0.0

    time_us, *rates = (result(column) for column in RESULTS)
    return CollectiveRow(
        case_id=text["case_id"],
        source=text["source"],
        told={key: v for key, v in text.items() if key not in {*RESULTS, *LABELS}},
        flagged=any(flag in text.get("notes", "") for flag in FLAGS),
        time_s=time_us * US if time_us > 0 else _from_rates(text, *rates),
    )


def _from_rates(text: Mapping[str, str], algorithm_gb: float, bus_gb: float) -> float | None:
    """Return the time behind a published bandwidth, in decimal GB/s."""
    size, ranks = text.get("bytes", ""), text.get("devices", "")
    operation = operation_of(text.get("collective", ""))
    if not size.isdigit():
        return None
    if algorithm_gb > 0:
        return int(size) / (algorithm_gb * GB)
    if bus_gb > 0 and operation and ranks.isdigit() and int(ranks) > 1:
        factor = 1.0 if operation == "send_receive" else busbw_factor(operation, int(ranks))
        return int(size) * factor / (bus_gb * GB)
    return None
