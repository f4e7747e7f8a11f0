"""One forward, one backward: a stage runs backward as soon as it can, which keeps few microbatches.

Source: Narayanan et al., PipeDream, SOSP 2019; with the flush of PipeDream-Flush (ICML 2021,
section 3.2), so that all microbatches of a step see the same parameters.
"""

from planner.stage_times import StageTimes, Turn


def order(stage: int, stages: int, microbatches: int) -> list[Turn]:
    """Return a few forward passes, then both in turn, then the backward passes that are left."""
    ahead = in_flight(stage, stages, microbatches) - 1
    turns = [Turn("forward", number) for number in range(ahead)]
    for number in range(microbatches):
        if number + ahead < microbatches:
            turns.append(Turn("forward", number + ahead))
        turns.append(Turn("backward", number))
    return turns


def in_flight(stage: int, stages: int, microbatches: int) -> int:
    """Return as many as there are stages from this one on."""
    return min(microbatches, stages - stage)


def bounds_ps(times: StageTimes) -> dict[str, int]:
    """Return none beside those of the stages."""
    return {}
