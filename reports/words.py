"""The sentences of the page that depend on no record: what words mean, and what is assumed."""

from collections.abc import Mapping

PHASE_WORDS: Mapping[str, str] = {
    "load": "records read and decoded",
    "forward": "forward pass and loss",
    "backward": "gradients of inputs and weights",
    "exchange": "exposed: gradients under way while nothing is computed",
    "update": "optimizer",
    "waiting": "nothing to do: another worker or a transfer is awaited",
}

CATEGORY_WORDS: Mapping[str, str] = {
    "parameters": "weights and biases",
    "gradients": "one value a parameter, summed over microbatches",
    "optimizer": "what it keeps: sgd one value a parameter, adamw two",
    "input": "decoded records",
    "activations": "layer outputs kept for the backward pass, and their gradients, when most is"
    " alive",
    "workspace": "scratch of single kernels, at that moment",
    "landing": "chunks received and not yet added, at that moment",
    "gaps": "where nothing lies at that moment: the price of fixed places",
}

GRADE_WORDS: Mapping[str, str] = {
    "measured": "this very op or link was timed on this device",
    "fitted": "read off a curve fitted to measurements of this device, or measured in another"
    " context",
    "datasheet": "from the vendor's figures alone; real kernels rarely reach them",
    "extrapolated": "as much of the vendor's figures as devices of another generation reach",
}

VERDICT_WORDS: Mapping[str, str] = {
    "passed": "the error is within the claim",
    "failed": "the error is larger than the claim allows",
    "void": "the machine did not hold still, so the run counts neither for nor against the claim",
    "not checked": "no claim was tested; give --check to test one",
}

STOP_WORDS: Mapping[str, str] = {
    "proof": "the search went on until nothing was left that could be better",
    "budget": "the search simulated as many as --budget says",
    "tasks": "more simulations were not worth their work; --budget N simulates N",
    "interrupt": "the search was interrupted",
    "what-if": "the plans of a file, priced on other hardware",
}

SPLIT_WORDS: Mapping[str, tuple[str, str]] = {
    "op costs": ("P1 - P0", "each op run alone, against its cost in the plan file"),
    "interference": (
        "P2 - P1",
        "each op inside the step, against the same op alone: caches, memory traffic, clocks",
    ),
    "structure": (
        "M - P2",
        "what no op time explains: gaps between tasks, waiting that the simulator does not know",
    ),
}

ASSUMPTIONS = (
    "A step starts with all workers ready and ends when the last one is; loading the next step's"
    " records is not overlapped with it.",
    "All workers of a plan have the same device, and all cores of a CPU are equal and share memory"
    " evenly. That busy neighbours slow an op down is inside its measured time.",
    "A fitted curve has one overhead and two rates for all shapes of a class of ops: tile and wave"
    " quantisation, caches and the choice of kernel are not modelled.",
    "A cost from the datasheet takes the vendor's peak as reached; real kernels reach 50-90 %.",
    "A transfer takes its overhead, then its bytes at the bandwidth of the slowest link; flows on"
    " one link share it max-min fairly. Packets, congestion control and retries are not modelled.",
    "Stragglers, failures, other jobs on the machine and changes of clock rate are not modelled;"
    " the sentinels show whether they happened.",
    "An 80 % interval held four of five published runs of sources that the constants were not"
    " fitted to. Any other stated interval is a half-width by grade: 10 % measured, 25 % fitted,"
    " 60 % datasheet.",
)

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "closed form",
        "step time by formula, without waiting between tasks; never above the simulated",
    ),
    ("bound", "the busiest lane, the busiest link or the longest chain: no schedule is faster"),
    ("exposed", "exchange that no computation hides, so that it lengthens the step"),
    ("waiting, idle", "time in which a worker neither computes nor communicates"),
    ("input stall", "time in which records are read and decoded, and nothing is computed"),
    ("arena", "the one static allocation of a worker; its size is known before the run"),
    (
        "live peak",
        "most bytes of the arena in use at one instant; arena over live peak is the waste",
    ),
    ("slot", "room for one array of a register; a task waits until its output has a free slot"),
    ("microbatch", "samples of one forward and backward pass of one worker"),
    ("bucket", "a slice of the gradients that is exchanged as one"),
    (
        "certificate",
        "the account of every candidate: simulated, pruned with a proof, or impossible",
    ),
    ("grade", "how a number is known: measured, fitted, datasheet or extrapolated"),
)

RUN_GLOSSARY: tuple[tuple[str, str], ...] = (
    ("P0", "step time simulated with the costs of the plan file: the prediction"),
    ("P1", "step time simulated with every op as it ran alone"),
    ("P2", "step time simulated with every op as it ran inside the step"),
    ("M", "measured step time, untraced: median over executions of their median step"),
    ("firing", "one run of one op; an op fires once a microbatch on every worker"),
    ("sentinel", "a fixed op timed before and after a run, to see whether the machine held still"),
    ("solo, traced", "an op timed alone; an op timed inside a step"),
)
"""Of pages with a measurement."""


def elided(name: str, most: int) -> str:
    """Return a name without its middle where it is long: names often differ at their ends.

    >>> elided("a name of thirty characters, star", 20)
    'a name of th.., star'
    """
    if len(name) <= most:
        return name
    end = most // 3
    return f"{name[: most - 2 - end]}..{name[-end:]}"
