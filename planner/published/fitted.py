"""Clusters whose devices are as efficient as published runs of some software were."""

from collections.abc import Iterable
from dataclasses import replace

from hwprofiles.cluster import Cluster
from hwprofiles.device import Device
from hwprofiles.efficiency import (
    family_of,
    generation_of,
    is_fitted,
    memory_from,
    with_efficiency,
)
from planner.evidence import Evidence, Shift
from planner.published.case import MANY
from planner.published.shift import is_seen, shifted
from planner.published.spread import class_of, shipped

USUAL = "pytorch-containers"
"""Software that is taken where none is named: PyTorch in containers of the vendor, 2019 to 2022."""
DATASHEET = "datasheet"
"""Asks for no software: the peaks are reached."""


def fitted_cluster(
    cluster: Cluster, software: str, shifts: Iterable[Shift] = ()
) -> tuple[Cluster, Evidence | None]:
    """Return a cluster with the efficiency of ``software``, and what that rests on.

    A generation that no published run is fitted for has the constants of the one that it is like
    (:mod:`hwprofiles.efficiency`), grade ``extrapolated``. Devices of no generation, as those of
    a file of one's own, stay at their datasheet's peaks; if all are, nothing is known.

    Raises
    ------
    ProfileError
        When no software is called so.
    """
    told = tuple(shifts)
    table = shifted(told)
    kinds: dict[str, Device] = {}
    generations: dict[str, str] = {}
    for device in {device.name: device for device in cluster.devices}.values():
        generation = generation_of(device.name)
        kinds[device.name] = with_efficiency(device, software, table) if generation else device
        if generation:
            generations[device.name] = generation
    if not generations:
        return cluster, None
    families = {family_of(software, generation) for generation in generations.values()}
    own = tuple(shift for shift in told if shift.family in families)
    spread, seen = shipped(), is_seen(software)
    are_fitted = all(map(is_fitted, generations.values()))
    few, many = (
        class_of(seen=seen, many=m, shifted=bool(own), fitted=are_fitted) for m in (False, True)
    )
    evidence = Evidence(
        software=software,
        shifts=own,
        deviation=spread.interval[few],
        deviation_many=spread.interval[many],
        many_workers=MANY,
        without_rows=tuple(
            (name, memory_from(table["generations"], generation))
            for name, generation in generations.items()
            if not is_fitted(generation)
        ),
    )
    return replace(cluster, devices=tuple(kinds[d.name] for d in cluster.devices)), evidence
