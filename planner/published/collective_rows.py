"""Rows of a table of published collectives: what was run, apart from what was measured."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import UnitError
from hwprofiles.units import GB, US, parse_bytes
from planner.collectives.base import busbw_factor
from planner.published.names import lines_of, whole_of
from planner.published.results import Results, some_read

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
COUNTS = ("devices", "nodes")
"""Columns of whole numbers, beside the bytes."""
LIBRARIES = "^(nccl|rccl|oneccl|hccl|mpi)|perf$"
"""What names of functions and of benchmark programs have beside."""


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
    misread: str = ""
    """What is wrong with a result that is no number."""


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


def bytes_of(text: str) -> str:
    """Return a number of bytes in digits, as it stands where it is none.

    A letter alone is what nccl-tests take it for: KiB, MiB or GiB.

    >>> bytes_of("8.0"), bytes_of("1,024"), bytes_of("64 MiB"), bytes_of("many")
    ('8', '1024', '67108864', 'many')
    >>> bytes_of("64M"), bytes_of("1e9"), bytes_of("1.5E+3 B"), bytes_of("8 bytes"), bytes_of("2Gi")
    ('67108864', '1000000000', '1500', '8', '2147483648')
    """
    bare = re.sub("(?i) ?bytes?$", "", text.replace(",", ""))
    bare = re.sub("(?i)(?<=[0-9])( ?)([kmg])i?$", r"\1\2iB", bare)
    power = re.fullmatch("(?i)([0-9.]+e[+]?[0-9]+) ?b?", bare)
    try:
        return str(round(float(power[1])) if power else parse_bytes(bare))
    except (UnitError, ValueError, OverflowError):
        return text


def count_of(text: str) -> str:
    """Return a number of devices or nodes in digits, as it stands where it is none.

    >>> count_of("16 GPUs"), count_of("2x8"), count_of("2 nodes"), count_of("2 x 8 GPUs")
    ('16', '16', '2', '16')
    """
    number = whole_of(text)
    by = re.match("([0-9]+) ?[x\u00d7*] ?([0-9]+)(?![0-9.])", text)
    if number is None and by:
        number = int(by[1]) * int(by[2])
    return text if number is None else str(number)


def read_collectives(path: Path) -> tuple[CollectiveRow, ...]:
    """Read a table; the columns are those of the README beside the published tables.

    Raises
    ------
    RecordError
        When the file cannot be read, lacks a column, or every row of it states a result that is
        no number.
    """
    lines = lines_of(path, "collective", NEEDED)
    return some_read([_row(path, number, line) for number, line in lines])


def _row(path: Path, number: int, line: dict[str, str]) -> CollectiveRow:
    text = line | {key: count_of(line[key]) for key in COUNTS if key in line}
    text["bytes"] = bytes_of(line["bytes"])
    results = Results(where=f"{path}: line {number}", text=text)
    time_us, *rates = (results.value(column) or 0.0 for column in RESULTS)
    return CollectiveRow(
        case_id=text["case_id"],
        source=text["source"],
        told={key: v for key, v in text.items() if key not in {*RESULTS, *LABELS}},
        flagged=any(flag in text.get("notes", "") for flag in FLAGS),
        time_s=time_us * US if time_us > 0 else _from_rates(text, *rates),
        misread=results.misread,
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
