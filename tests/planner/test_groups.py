"""Rows of a key in one call, and which lanes and links a bound need not look at."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.crossings import LATER
from planner.delays import no_delays
from planner.exchange_work import Work
from planner.groups import Groups
from planner.pivots import stacked_rows

UFUNCS = (np.minimum, np.maximum, np.add)


@given(
    keys=st.lists(st.integers(0, 5), max_size=40),
    columns=st.integers(1, 4),
    ufunc=st.sampled_from(UFUNCS),
    seed=st.integers(0, 99),
)
def test_a_ufunc_over_the_rows_of_each_key_is_that_of_numpy(keys, columns, ufunc, seed):
    values = np.random.default_rng(seed).integers(0, 1 << 40, (2 * len(keys), columns))
    some = np.arange(len(keys)) * 2
    groups = Groups.of(np.array(keys, dtype=np.int64))
    for own, chosen in ((values[: len(keys)], None), (values, some)):
        found = groups.reduce(ufunc, own, chosen)
        rows = own if chosen is None else own[chosen]
        for key, of_key in zip(groups.keys, found, strict=True):
            assert (of_key == ufunc.reduce(rows[np.array(keys) == key])).all()
        assert len(found) == len(set(keys))


def work_at_random(rows: int, sizes: int, seed: int) -> Work:
    """Return lanes of which some have nothing to do and some are alike."""
    rng = np.random.default_rng(seed)
    fill, work, drain = rng.integers(0, 4, (3, rows, sizes))
    nothing = rng.random(rows) < 0.2
    fill[nothing], work[nothing], drain[nothing] = LATER, 0, LATER
    alike = rng.integers(0, rows, rows)
    return Work(
        sizes={n: n for n in range(sizes)},
        links=np.arange(0),
        fill_ps=fill[alike],
        work_ps=work[alike],
        drain_ps=drain[alike],
        compute_ps=work,
        chain_ps=work[0],
        all_ps=work[0],
        pivot_ps=stacked_rows([], sizes),
        delay_ps=no_delays(0, sizes),
    )


def busiest_ps(work: Work, elements: list[int]) -> int:
    """Return fill, work and drain of the busiest of all rows, one by one."""
    found = [0]
    for fill, own, drain in zip(work.fill_ps, work.work_ps, work.drain_ps, strict=True):
        if own[elements].sum():
            found.append(fill[elements].min() + own[elements].sum() + drain[elements].min())
    return int(max(found))


@given(
    rows=st.integers(1, 30),
    elements=st.lists(st.integers(0, 1), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_rows_that_are_left_out_are_never_the_busiest(rows, elements, seed):
    work = work_at_random(rows, 2, seed)
    told = tuple(busiest_ps(work, elements[bucket:]) for bucket in range(len(elements)))
    assert work.rest_ps(elements) == told
