"""graph.json: a task graph as a file, with the names of its tasks if there are any.

Schema 1: ``{"schema_version": 1, "kind": "graph", "task_names": [...] | null, "graph": {...}}``,
where ``graph`` has every field of ``TaskGraph`` as a list. An infinite cap is written as null,
since JSON has no infinity.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hwprofiles.errors import RecordError
from hwprofiles.units import Floats, Ints
from sim.blocks import Ids, narrow
from sim.structure import structure_problems
from sim.taskgraph import TaskGraph

SCHEMA_VERSION = 1

Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
_COLUMNS: dict[object, TypeAdapter[Any]] = {
    Ints: TypeAdapter(list[Int64], config=_STRICT),
    Ids: TypeAdapter(list[Int64], config=_STRICT),
    Floats: TypeAdapter(list[float | None], config=_STRICT),
}


class _Envelope(BaseModel):
    """The file without the types of its columns, which follow from the fields of ``TaskGraph``."""

    model_config = _STRICT

    schema_version: Literal[1]
    kind: Literal["graph"]
    task_names: list[str] | None = None
    graph: dict[str, list[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFile:
    """What a graph.json holds."""

    graph: TaskGraph
    task_names: tuple[str, ...] | None = None

    def label(self, task: int) -> str:
        """Return the name of a task, or its number where the file gives no names."""
        return self.task_names[task] if self.task_names else f"task {task}"


def write_graph(path: Path, graph: TaskGraph, task_names: Sequence[str] | None = None) -> None:
    """Write a graph; a reader sees the old file or the whole new one, never a part.

    Raises
    ------
    RecordError
        When the file cannot be written, or there is not one name per task.
    """
    if task_names is not None and len(task_names) != graph.tasks:
        raise RecordError(f"{path}: expected {graph.tasks} task names, got {len(task_names)}")
    columns = {
        f.name: [None if value == math.inf else value for value in getattr(graph, f.name).tolist()]
        for f in fields(TaskGraph)
    }
    names = None if task_names is None else list(task_names)
    record = {"schema_version": SCHEMA_VERSION, "kind": "graph", "task_names": names}
    text = json.dumps({**record, "graph": columns}, allow_nan=False) + "\n"
    try:
        _replace(path, text)
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written ({error.strerror}); choose another place"
        ) from error


def read_graph(path: Path) -> GraphFile:
    """Read a graph and check that it is well formed (cycles are for ``sim.checks`` to find).

    Raises
    ------
    RecordError
        When the file is missing, cut short, malformed or of another schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise RecordError(
            f"{path}: expected a graph.json, but it cannot be read ({error.strerror});"
            " check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{path}: expected the JSON of a task graph, got {error}; the file may be cut short:"
            " write it again"
        ) from error
    _check_version(path, data)
    try:
        envelope = _Envelope.model_validate(data)
    except ValidationError as error:
        raise RecordError(f"{path}: {_sentence(error)}") from error
    graph = _graph(path, envelope.graph)
    problems = structure_problems(graph)
    if problems:
        raise RecordError(f"{path}: the task graph is not well formed: {'; '.join(problems)}")
    names = envelope.task_names
    if names is not None and len(names) != graph.tasks:
        raise RecordError(
            f"{path}: task_names: expected {graph.tasks} names, one per task, got {len(names)}"
        )
    return GraphFile(graph=graph, task_names=None if names is None else tuple(names))


def _graph(path: Path, columns: dict[str, list[object]]) -> TaskGraph:
    """Return the graph of these columns; every field must be there, and nothing else."""
    known = {f.name: f.type for f in fields(TaskGraph)}
    missing, unknown = sorted(known.keys() - columns), sorted(columns.keys() - known)
    if missing or unknown:
        raise RecordError(
            f"{path}: graph: expected the fields of a task graph, got none for {missing} and"
            f" unknown {unknown}; write the graph again"
        )
    arrays: dict[str, Any] = {}
    for name, kind in known.items():
        try:
            values = _COLUMNS[kind].validate_python(columns[name])
        except ValidationError as error:
            raise RecordError(f"{path}: graph.{name}.{_sentence(error)}") from error
        if kind is Ints:
            arrays[name] = np.array(values, dtype=np.int64)
        elif kind is Ids:
            arrays[name] = narrow(np.array(values, dtype=np.int64))
        else:
            arrays[name] = np.array(
                [math.inf if v is None else v for v in values], dtype=np.float64
            )
    return TaskGraph(**arrays)


def _check_version(path: Path, data: object) -> None:
    """Say "another version" before saying what that version changed."""
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise RecordError(
            f"{path}: expected schema_version {SCHEMA_VERSION}, got {version!r}; write the graph"
            " again with this version of foreplan"
        )


def _sentence(error: ValidationError) -> str:
    """Return the first problem that pydantic found, and how many more there are."""
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"] if not isinstance(part, bool))
    got = repr(first["input"])
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    shown = got if len(got) <= 40 else got[:37] + "..."
    return f"{where}: {first['msg']}, got {shown}{more}; write the graph again"


def _refuse(constant: str) -> float:
    raise ValueError(f"the number {constant}")


def _replace(path: Path, text: str) -> None:
    """Write to a temporary beside ``path``, then rename it over ``path``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
