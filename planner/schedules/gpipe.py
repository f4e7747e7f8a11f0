"""All forward passes, then all backward passes in the opposite order, then the update.

Source: Huang et al., GPipe, NeurIPS 2019, figure 2c; the order of the backward passes is that of
torchgpipe (Kim et al., arXiv:2004.09910, 2020).
"""

from planner.stage_times import StageTimes, Turn


def order(stage: int, stages: int, microbatches: int) -> list[Turn]:
    """Return the turns of a stage, which are those of every stage."""
    numbers = range(microbatches)
    return [
        *(Turn("forward", number) for number in numbers),
        *(Turn("backward", number) for number in reversed(numbers)),
    ]


def in_flight(stage: int, stages: int, microbatches: int) -> int:
    """Return all of them."""
    return microbatches


def bounds_ps(times: StageTimes) -> dict[str, int]:
    """Return the two phases one after the other, each held up by a stage or a transfer.

    Between them is the last stage, which turns round without a pause.
    """
    forward, backward = _forward_ps(times), _backward_ps(times)
    again = times.forward_ps[-1] if times.recomputes_last else 0
    return {"forward, then backward": forward + again + backward}


def _forward_ps(times: StageTimes) -> int:
    """Return the longest way to the end of the last stage's forward passes."""
    rounds, last = times.microbatches, times.stages - 1
    left = {last: 0}  # by stage: from the end of a forward pass to that of the last stage
    found = [times.fill_ps[last] + rounds * times.forward_ps[last]]
    for (source, target), sent_ps in sorted(times.sent_ps.items(), reverse=True):
        if target not in left:
            continue
        after = times.forward_ps[target] + left[target]
        left[source] = max(left.get(source, 0), sent_ps + after)
        begin = times.fill_ps[source] + times.forward_ps[source]
        found.append(begin + rounds * sent_ps + after)
        found.append(begin + (rounds - 1) * times.forward_ps[source] + left[source])
    return max(found)


def _backward_ps(times: StageTimes) -> int:
    """Return the longest way from the last stage's first backward pass to the end of the step."""
    more, last = times.microbatches - 1, times.stages - 1
    begin = {last: 0}  # by stage: its first backward pass
    found = []
    pairs = sorted(times.returned_ps.items(), key=lambda item: item[0][::-1], reverse=True)
    for (source, target), returned_ps in pairs:
        if target not in begin:
            continue
        ready = begin[target] + times.backward_ps[target]
        begin[source] = max(begin.get(source, 0), ready + returned_ps)
        after = times.last_backward_ps(source) + times.drain_ps[source]
        found.append(ready + times.microbatches * returned_ps + after)
    for stage, ready in begin.items():
        each = times.backward_ps[stage] + times.add_ps[stage] + times.again_ps(stage)
        first = ready + times.backward_ps[stage]
        found.append(first + more * each + times.drain_ps[stage])
    return max(found)
