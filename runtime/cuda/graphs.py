"""cuDNN's convolutions and attention through cuDNN Frontend, one plan for each shape of call.

A plan costs milliseconds to seconds to build, so plans are kept, and built before anything is
timed: the first call of each does it. Arrays are named to cuDNN by numbers and pointers; layouts by
strides. Only this file knows the library.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, sqrt
from typing import Any

X, W, Y = 1, 2, 3
Q, K, V, O, STATS, DO, DQ, DK, DV = range(4, 13)  # noqa: E741 - the output, as papers call it

MOST_WORKSPACE_BYTES = 1 << 30
"""A plan that wants more is left out where there are others."""
MOST_TIMED = 6
"""Plans of a call that are timed against each other."""
MOST_TIMED_S = 2.0
"""Nor are more timed once these have taken so long."""
HOPELESS = 4
"""Times as slow as the best, and the plans after it are not tried: some take seconds."""
Dims = tuple[int, ...]
Target = Mapping[str, Any]
"""What a graph is for: ``handle``, or ``sm_version`` and ``sm_count`` where there is no device."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Dimensions and strides of an array, in elements, as cuDNN is told."""

    dims: Dims
    strides: Dims


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph that is ready to run."""

    graph: Any
    workspace_bytes: int
    name: str
    index: int | None = None
    """Among the graph's plans; the one it chose itself where there is none."""


def laid(x: Any, order: Dims) -> Laid:
    """Return how an array lies, its axes taken in ``order``.

    >>> import numpy as np
    >>> laid(np.zeros((2, 5, 5, 8), np.float32).transpose(3, 1, 2, 0), (3, 0, 1, 2))
    Laid(dims=(2, 8, 5, 5), strides=(200, 1, 40, 8))
    """
    item = x.dtype.itemsize
    return Laid(tuple(x.shape[a] for a in order), tuple(x.strides[a] // item for a in order))


def _type(dtype: str) -> Any:
    import cudnn

    kinds = cudnn.data_type
    return {
        "float16": kinds.HALF,
        "bfloat16": kinds.BFLOAT16,
        "float32": kinds.FLOAT,
        "float64": kinds.DOUBLE,
    }[dtype]


def _graph(dtype: str, target: Target) -> Any:
    import cudnn

    wide = _type("float64" if dtype == "float64" else "float32")
    return cudnn.pygraph(
        io_data_type=_type(dtype),
        intermediate_data_type=wide,
        compute_data_type=wide,
        **target,
    )


def _given(graph: Any, number: int, name: str, how: Laid, dtype: str) -> Any:
    tensor = graph.tensor(
        name=name, dim=list(how.dims), stride=list(how.strides), data_type=_type(dtype)
    )
    tensor.set_uid(number)
    return tensor


def _wanted(tensor: Any, number: int, how: Laid, dtype: str) -> None:
    tensor.set_output(True)
    tensor.set_dim(list(how.dims))
    tensor.set_stride(list(how.strides))
    tensor.set_data_type(_type(dtype))
    tensor.set_uid(number)


def convolution(
    phase: str, x: Laid, w: Laid, y: Laid, how: Dims, dtype: str, target: Target
) -> Any:
    """Return the graph of one phase, not yet built; dims are (n, C, H, W) and (K, C / G, R, S).

    ``how`` is stride, pad, pad_w and groups; the library sees groups from the channels.
    """
    graph = _graph(dtype, target)
    stride, pad, pad_w, _ = how
    settings = {
        "pre_padding": [pad, pad_w],
        "post_padding": [pad, pad_w],
        "stride": [stride, stride],
        "dilation": [1, 1],
    }

    def given(number: int, name: str, layout: Laid) -> Any:
        return _given(graph, number, name, layout, dtype)

    if phase == "forward":
        image, weight = given(X, "x", x), given(W, "w", w)
        _wanted(graph.conv_fprop(image=image, weight=weight, **settings), Y, y, dtype)
    elif phase == "weight_grad":
        image, loss = given(X, "x", x), given(Y, "dy", y)
        _wanted(graph.conv_wgrad(image=image, loss=loss, **settings), W, w, dtype)
    else:
        loss, weight = given(Y, "dy", y), given(W, "w", w)
        found = graph.conv_dgrad(loss=loss, filter=weight, **settings)
        _wanted(found, X, x, dtype)
    graph.validate()
    return graph


def heads_of(samples: int, tokens: int, heads: int, features: int, parts: int) -> list[Laid]:
    """Return how queries, keys and values lie as (n, H, S, D), side by side in every token.

    >>> [each.strides for each in heads_of(2, 5, 3, 8, 1)]
    [(120, 8, 24, 1)]
    """
    width = parts * heads * features
    dims = (samples, heads, tokens, features)
    return [Laid(dims, (tokens * width, features, width, 1)) for _ in range(parts)]


def attention(  # noqa: PLR0913 - what a plan depends on
    phase: str,
    samples: int,
    tokens: int,
    heads: int,
    features: int,
    causal: bool,
    dtype: str,
    target: Target,
) -> Any:
    """Return the graph of fused attention, forward with statistics, or backward; not yet built."""
    graph = _graph(dtype, target)
    side_by_side = heads_of(samples, tokens, heads, features, 3)
    (alone,) = heads_of(samples, tokens, heads, features, 1)
    kept = Laid((samples, heads, tokens, 1), (heads * tokens, tokens, 1, 1))
    q, k, v = (
        _given(graph, number, name, how, dtype)
        for number, name, how in zip((Q, K, V), "qkv", side_by_side, strict=True)
    )
    settings = {"attn_scale": 1 / sqrt(features), "use_causal_mask": causal}
    if phase == "forward":
        out, stats = graph.sdpa(q=q, k=k, v=v, generate_stats=True, name="attend", **settings)
        _wanted(out, O, alone, dtype)
        _wanted(stats, STATS, kept, "float32")
    else:
        out, given = _given(graph, O, "o", alone, dtype), _given(graph, DO, "do", alone, dtype)
        stats = _given(graph, STATS, "stats", kept, "float32")
        found = graph.sdpa_backward(
            q=q,
            k=k,
            v=v,
            o=out,
            dO=given,
            stats=stats,
            use_deterministic_algorithm=True,
            name="attend",
            **settings,
        )
        for tensor, number, how in zip(found, (DQ, DK, DV), side_by_side, strict=True):
            _wanted(tensor, number, how, dtype)
    graph.validate()
    return graph


def built(graph: Any, *, strict: bool) -> list[Plan]:
    """Build the plan that the library's heuristics put first; of a strict graph, some of the first.

    ``strict`` leaves out tensor cores, which round float32 to ten bits of mantissa. What is left
    differs up to a hundredfold in time, so whoever runs it has to time it.
    """
    import cudnn

    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    if not strict:
        graph.check_support()
        graph.build_plans(cudnn.build_plan_policy.HEURISTICS_CHOICE)
        name = graph.get_plan_name_at_index(0) if graph.get_execution_plan_count() else ""
        size_bytes = int(graph.get_workspace_size())
        return [Plan(graph=graph, workspace_bytes=size_bytes, name=str(name))]
    graph.deselect_numeric_notes([cudnn.numerical_note.TENSOR_CORE])
    graph.check_support()
    graph.build_plans(cudnn.build_plan_policy.ALL)
    found: list[Plan] = []
    for index in range(graph.get_execution_plan_count()):
        try:
            size_bytes = int(graph.get_workspace_size_plan_at_index(index))
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError):
            continue  # left out, or not to be built
        if size_bytes <= MOST_WORKSPACE_BYTES:
            name = str(graph.get_plan_name_at_index(index))
            plan = Plan(graph=graph, workspace_bytes=size_bytes, name=name, index=index)
            found.append(plan)
    return found


class Library:
    """cuDNN on one stream, with the plans built so far.

    What it refuses once, it is not asked for again; ``refused`` says why, by call.
    """

    def __init__(
        self,
        room: Callable[[int], int],
        stream: Callable[[], int],
        timed: Callable[[Callable[[], None]], float],
    ) -> None:
        """Take what gives a workspace of so many bytes, the current stream, and seconds of work."""
        import cudnn

        self._handle = cudnn.create_handle()
        self._room = room
        self._stream = stream
        self._timed = timed
        self.refused: dict[str, str] = {}
        self.plans: dict[str, Plan] = {}
        self._set = -1
        """The stream that it was told to use."""
        self._of_call: dict[tuple[Any, ...], Plan | None] = {}

    def work(
        self, kind: str, arguments: tuple[Any, ...], pointers: Mapping[int, int], *, strict: bool
    ) -> Callable[[], None] | None:
        """Return what does a ``convolution`` or ``attention`` of ``arguments``, if it can be done.

        ``strict`` keeps products of float32 from rounding.
        """
        call = (kind, arguments, strict and "float32" in arguments)
        if call not in self._of_call:
            self._of_call[call] = self._made(*call, pointers)
        plan = self._of_call[call]
        return None if plan is None else self._run(plan, pointers)

    def _run(self, plan: Plan, pointers: Mapping[int, int]) -> Callable[[], None]:
        """Return what runs a plan."""
        import cudnn

        handle, given = self._handle, dict(pointers)
        room = self._room(plan.workspace_bytes)
        run = partial(plan.graph.execute, given, room, handle=handle)
        if plan.index is not None:
            run = partial(plan.graph.execute_plan_at_index, given, room, plan.index, handle=handle)

        def work() -> None:
            stream = self._stream()
            if stream != self._set:
                cudnn.set_stream(handle=handle, stream=stream)
                self._set = stream
            run()

        return work

    def _made(
        self, kind: str, arguments: tuple[Any, ...], strict: bool, pointers: Mapping[int, int]
    ) -> Plan | None:
        import cudnn

        make: Callable[..., Any] = convolution if kind == "convolution" else attention
        name = f"{kind}{arguments}{' strict' * strict}"
        try:
            found = built(make(*arguments, {"handle": self._handle}), strict=strict)
            self.plans[name] = self._best(found, pointers)
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
            self.refused[name] = " ".join(str(error).split())
            return None
        return self.plans[name]

    def _best(self, plans: list[Plan], pointers: Mapping[int, int]) -> Plan:
        """Return the plan that takes least time, of the first that run."""
        import cudnn

        best, least_s, ran, began = None, inf, 0, time.monotonic()
        for plan in plans:
            if len(plans) == 1:
                return plan
            try:
                seconds = self._timed(self._run(plan, pointers))
            except (cudnn.cudnnGraphNotSupportedError, RuntimeError):
                continue
            ran += 1
            if seconds < least_s:
                best, least_s = plan, seconds
            is_late = time.monotonic() - began > MOST_TIMED_S
            if ran == MOST_TIMED or seconds > HOPELESS * least_s or is_late:
                break
        if best is None:
            raise RuntimeError("no plan of it runs")
        return best
