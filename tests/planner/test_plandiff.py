"""Differences of plan files: none of a file with itself, all otherwise, either way round."""

import json
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner.plandiff
from hwprofiles.errors import ForeplanError
from planner.jsonable import to_jsonable
from planner.plandiff import SECTIONS, diff
from planner.records import PlanFile, parse_record, plans_sha256
from planner.whatif import what_if
from tests.planner.test_whatif import bare_file


def leaves(value, place=()):
    """Places of all numbers, texts and flags of JSON data."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from leaves(inner, (*place, key))
        else:
            yield (*place, key)


def changed(place):
    """The plan file with one leaf another, None where that is no plan file."""
    data = json.loads(json.dumps(to_jsonable(bare_file())))
    at = data
    for key in place[:-1]:
        at = at[key]
    old = at[place[-1]]
    is_number = isinstance(old, int | float) and not isinstance(old, bool)
    at[place[-1]] = not old if isinstance(old, bool) else old * 2 + 1 if is_number else f"{old}x"
    try:
        file = parse_record(data, PlanFile, "here")
        file.to_machine()
    except (ForeplanError, KeyError, IndexError):
        return None
    return file


NAMES = (("schema",), ("training", "optimizer"), ("training", "dtype"))
"""Places whose value must be one of those there are, which is checked where a file is read."""
LEAVES = sorted(
    (place for place in leaves(to_jsonable(bare_file())) if place not in NAMES), key=str
)


def test_nothing_differs_from_itself():
    assert diff(bare_file(), bare_file()) == ()


@given(place=st.sampled_from(LEAVES))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_field_that_differs_is_seen_from_either_side(place):
    other = changed(place)
    if other is None:
        return
    there, back = diff(bare_file(), other), diff(other, bare_file())
    assert there, f"{place} is not seen"
    assert [replace(row, a=row.b, b=row.a) for row in back] == list(there)
    assert [row.section for row in there] == sorted(
        (row.section for row in there), key=SECTIONS.index
    )


def test_a_section_that_is_left_out_is_seen(monkeypatch):
    other = changed(("plans", 0, "prediction", "memory_bytes", "parameters"))
    assert [row.section for row in diff(bare_file(), other)] == ["memory"]
    left = tuple(section for section in SECTIONS if section != "memory")
    monkeypatch.setattr(planner.plandiff, "SECTIONS", left)
    assert diff(bare_file(), other) == ()


def test_another_link_shows_in_inputs_predictions_and_path():
    _, new = what_if(bare_file(), ["device.speed=0.5x"])
    rows = {(row.section, row.field): row for row in diff(bare_file(), new)}
    assert ("inputs", "device v100-sxm2-16g sha256") in rows
    flops = rows["inputs", "device v100-sxm2-16g peak_flop_per_s.float32"]
    assert flops.b == flops.a / 2
    assert rows["prediction", "step_s"].b > rows["prediction", "step_s"].a
    assert rows["critical path", "forward"].b > rows["critical path", "forward"].a


def test_a_plan_and_the_one_whose_input_runs_ahead_are_compared():
    file = bare_file()
    best = file.plans[0]
    fed = replace(best, plan=replace(best.plan, decode_workers=1))
    other = replace(file, plans=(fed,), plans_sha256=plans_sha256((fed,)))
    found = {row.field: (row.a, row.b) for row in diff(file, other)}
    assert found["decode_workers"] == (0, 1)
    assert found["forward"][1] is None, "the path of one step does not tell that of many"
