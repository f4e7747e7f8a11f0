"""Updates in step, a few steps apart, or in nobody's step: which trains faster among stragglers.

Throughput is simulated; what a stale gradient is worth comes from published bounds. To reach an
average squared gradient norm of e, SGD with gradients of b samples that are delayed by t updates
takes a number of updates of the order of

    s^2 / (b e^2) + (1 + t) / e,    t = sqrt(greatest delay x average delay)

with s^2 the variance of one sample's gradient (Koloskova, Stich and Jaggi, NeurIPS 2022, for
constant step sizes). Times b, with the critical batch B = s^2 / e, that is in samples

    s^2 / e^2 x (1 + b (1 + t) / B)

which without delay is the law of McCandlish et al. (arXiv 1812.06162, section 2): of batches far
below B every sample counts, from there on more samples a step are of no more use. A synchronous
step of W workers is one update of W b samples without delay. So *effective* samples are samples
over 1 + b (1 + t) / B.

ASSUMES: the two terms of the bound have the same constant, as they have without delay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.costs import CostBook
from hwprofiles.units import PS_PER_S, Ints
from planner.algorithms import algorithm
from planner.cost import estimate
from planner.model import load_model
from planner.network import flat_network
from planner.plan import Plan, Training
from planner.topology import SIMPLEST
from sim.updates import Server, Updates, simulate_synchronous, simulate_updates

MODEL, DEVICE, LINK = "resnet-50", "v100-sxm2-16g", "ethernet-100g"
WORKERS, SAMPLES, STEPS = 16, 32, 60
SPREADS = (0.0, 0.1, 0.3, 1.0, 3.0)
BOUNDS: tuple[int | None, ...] = (1, 4, None)
CRITICAL = (1_000, 20_000)
"""Critical batches: of a small, quiet problem, and of ImageNet ("tens of thousands", ibid.)."""
WANTED = 1e6
"""Effective samples to reach."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One policy under one spread of compute times."""

    policy: str
    spread: float
    """Mean of what a step takes longer, as a share: see ``durations_ps``."""
    samples_per_s: float
    batch: int
    """Samples of one update."""
    mean_delay: float
    most_delay: int
    waited_frac: float
    """Share of the workers' time in which they waited for slower ones."""
    wanted_s: tuple[float, ...]
    """Time to ``WANTED`` effective samples, by critical batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who trains what where: times without stragglers, picoseconds."""

    workers: int
    samples: int
    """Of one gradient."""
    compute_ps: int
    exchange_ps: int
    """The fastest all-reduce."""
    algorithm: str
    server: Server


def cost_of_delay(batch: int, delay: float, critical: float) -> float:
    """Return how many samples one effective sample takes.

    >>> cost_of_delay(32, 0.0, 32.0), cost_of_delay(32, 9.0, 320.0)
    (2.0, 2.0)
    """
    return 1 + batch * (1 + delay) / critical


def durations_ps(question: Question, steps: int, spread: float, seed: int) -> Ints:
    """Return how long each worker computes in each step, (W, S).

    A shifted exponential, the usual law of stragglers (Lee et al., IEEE Trans. Inf. Theory 64,
    2018, section III): ``compute x (1 + spread x e)`` with e exponential of mean 1.
    """
    rng = np.random.default_rng(seed)
    late = rng.exponential(size=(question.workers, steps))
    return np.ceil(question.compute_ps * (1 + spread * late)).astype(np.int64)


def question(
    model: str = MODEL, device: str = DEVICE, workers: int = WORKERS, samples: int = SAMPLES
) -> Question:
    """Return the times of ``workers`` machines at one switch, each also a server of its shard."""
    graph, network = load_model(model), flat_network(LINK, device, workers)
    plan = Plan(
        workers=1,
        microbatch=samples,
        placement=(0,),
        algorithm="none",
        bucket_bytes=1 << 30,
        overlap=False,
    )
    cluster = network.cluster(workers)
    books = {d.name: CostBook(device=d, ops={}) for d in cluster.devices}
    step = estimate(graph, Training(batch=samples), plan, cluster, books)
    prices, elements = network.prices(workers), graph.parameter_count
    costs = {name: algorithm(name).cost_ps(elements, prices) for name in SIMPLEST}
    fastest = min(SIMPLEST, key=costs.__getitem__)
    message_ps = prices.transfer_ps(0, 1, elements)
    return Question(
        workers=workers,
        samples=samples,
        compute_ps=step.closed_form_ps,
        exchange_ps=costs[fastest],
        algorithm=fastest,
        server=Server(serve_ps=message_ps // workers, travel_ps=message_ps - message_ps // workers),
    )


def staleness(
    asked: Question,
    spreads: Sequence[float] = SPREADS,
    bounds: Sequence[int | None] = BOUNDS,
    critical: Sequence[int] = CRITICAL,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[Run, ...]:
    """Return the runs of all policies under all spreads, the synchronous one first."""
    runs: list[Run] = []
    for done, spread in enumerate(spreads):
        compute_ps = durations_ps(asked, steps, spread, seed)
        runs.append(_in_step(asked, compute_ps, spread, critical))
        for bound in bounds:
            updates = simulate_updates(compute_ps, asked.server, bound)
            name = "asynchronous" if bound is None else f"stale by {bound}"
            runs.append(_apart(name, asked, updates, spread, critical))
        progress(done + 1, len(spreads))
    return tuple(runs)


def _in_step(asked: Question, compute_ps: Ints, spread: float, critical: Sequence[int]) -> Run:
    ends_ps = simulate_synchronous(compute_ps, asked.exchange_ps)
    batch, total_s = asked.workers * asked.samples, int(ends_ps[-1]) / PS_PER_S
    rate = batch * len(ends_ps) / total_s
    waited = (compute_ps.max(axis=0) - compute_ps).sum() / PS_PER_S
    return Run(
        policy="synchronous",
        spread=spread,
        samples_per_s=rate,
        batch=batch,
        mean_delay=0.0,
        most_delay=0,
        waited_frac=float(waited) / (asked.workers * total_s),
        wanted_s=tuple(WANTED * cost_of_delay(batch, 0.0, c) / rate for c in critical),
    )


def _apart(
    name: str, asked: Question, updates: Updates, spread: float, critical: Sequence[int]
) -> Run:
    """Return the run of workers that do not move in step, until the first has no step left."""
    last_ps = [int(updates.applied_ps[updates.worker == w][-1]) for w in range(asked.workers)]
    count = int((updates.applied_ps <= min(last_ps)).sum())
    total_s, delay_of = min(last_ps) / PS_PER_S, updates.delay[:count]
    rate = asked.samples * count / total_s
    mean, most = float(delay_of.mean()), int(delay_of.max())
    delay = (mean * most) ** 0.5
    costs = [cost_of_delay(asked.samples, delay, c) for c in critical]
    return Run(
        policy=name,
        spread=spread,
        samples_per_s=rate,
        batch=asked.samples,
        mean_delay=mean,
        most_delay=most,
        waited_frac=updates.waited_ps / (asked.workers * int(updates.applied_ps[-1])),
        wanted_s=tuple(WANTED * cost / rate for cost in costs),
    )
