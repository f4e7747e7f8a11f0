"""Records as JSON types; apart from ``records``, for that imports all that a record may hold."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def to_jsonable(record: object) -> Any:
    """Return a record as JSON types; an infinite field is left out, for JSON has no infinity."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.init}
        return {key: to_jsonable(value) for key, value in values.items() if value != float("inf")}
    if isinstance(record, Mapping):
        return {str(key): to_jsonable(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_jsonable(value) for value in record]
    return record
