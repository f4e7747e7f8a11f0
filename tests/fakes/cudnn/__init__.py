"""cuDNN Frontend as the backend uses it: graphs of one node, done by NumPy."""

import ctypes
from enum import Enum

import numpy as np
from cupy.cuda import _streams

__version__ = "0 (a fake)"
data_type = Enum("data_type", "HALF BFLOAT16 FLOAT DOUBLE")
heur_mode = Enum("heur_mode", "A FALLBACK")
numerical_note = Enum("numerical_note", "TENSOR_CORE")
build_plan_policy = Enum("build_plan_policy", "HEURISTICS_CHOICE ALL")
REFUSED = 13
"""A width that no engine takes."""
PLANS = ("left out", "does not run", "numpy", "numpy again")
"""What a graph has built in the end, where all was asked for."""
STREAM = {}


class cudnnGraphNotSupportedError(RuntimeError):  # noqa: N801
    pass


def backend_version():
    return 90000


def create_handle():
    return STREAM


def set_stream(handle, stream):
    handle["stream"] = next(s for s in _streams.STREAMS if s.ptr == stream)


def types():
    import ml_dtypes

    kinds = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
    return dict(zip(data_type, map(np.dtype, kinds), strict=True))


class Tensor:
    def __init__(self, dim=None, stride=None, data_type=None):
        self.dim, self.stride, self.kind = dim, stride, data_type
        self.uid, self.is_output = None, False

    def set_uid(self, uid):
        self.uid = uid
        return self

    def set_output(self, value):
        self.is_output = value

    def set_dim(self, dim):
        self.dim = dim

    def set_stride(self, stride):
        self.stride = stride

    def set_data_type(self, kind):
        self.kind = kind

    def at(self, ptr):
        dtype = types()[self.kind]
        count = 1 + sum((d - 1) * s for d, s in zip(self.dim, self.stride, strict=True))
        flat = np.frombuffer((ctypes.c_uint8 * (count * dtype.itemsize)).from_address(ptr), dtype)
        strides = [s * dtype.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(flat, self.dim, strides, writeable=True)


class pygraph:  # noqa: N801
    """``run`` maps inputs to outputs, wide arrays both."""

    def __init__(self, io_data_type, intermediate_data_type, compute_data_type, handle=None):
        self.tensors, self.inputs, self.outputs, self.run = [], [], [], None
        self.io = io_data_type
        self.is_built = False
        self.plans = ("numpy",)

    def tensor(self, name, dim, stride, data_type):
        self.tensors.append(Tensor(dim, stride, data_type))
        return self.tensors[-1]

    def _node(self, run, inputs, outputs):
        self.run, self.inputs = run, inputs
        self.outputs = [Tensor() for _ in range(outputs)]
        return self.outputs if outputs > 1 else self.outputs[0]

    def conv_fprop(self, image, weight, pre_padding, post_padding, stride, dilation):
        assert dilation == [1, 1]
        assert pre_padding == post_padding

        def run(x, w):
            (y,) = self.outputs
            out = np.zeros(y.dim)
            for taps, part, k in places(x, w, out, pre_padding, stride):
                part[...] += np.einsum("nchw,kc->nkhw", taps, k)
            return (out,)

        return self._node(run, [image, weight], 1)

    def conv_wgrad(self, image, loss, pre_padding, post_padding, stride, dilation):
        def run(x, dy):
            (w,) = self.outputs
            out = np.zeros(w.dim)
            for taps, part, k in places(x, out, dy, pre_padding, stride):
                k[...] += np.einsum("nchw,nkhw->kc", taps, part)
            return (out,)

        return self._node(run, [image, loss], 1)

    def conv_dgrad(self, loss, filter, pre_padding, post_padding, stride, dilation):
        def run(dy, w):
            (x,) = self.outputs
            out = np.zeros(x.dim)
            for taps, part, k in places(out, w, dy, pre_padding, stride):
                taps[...] += np.einsum("nkhw,kc->nchw", part, k)
            return (out,)

        return self._node(run, [loss, filter], 1)

    def sdpa(self, q, k, v, generate_stats, name, attn_scale, use_causal_mask):
        assert generate_stats

        def run(q, k, v):
            p, stats = weights(q, k, attn_scale, use_causal_mask)
            return p @ v, stats[..., None]

        return self._node(run, [q, k, v], 2)

    def sdpa_backward(
        self, *, use_deterministic_algorithm, name, attn_scale, use_causal_mask, **of
    ):
        assert use_deterministic_algorithm

        def run(q, k, v, o, do, stats):
            p, found = weights(q, k, attn_scale, use_causal_mask)
            np.testing.assert_allclose(stats[..., 0], found, atol=1e-3)
            ds = p * (do @ v.swapaxes(2, 3) - (do * o).sum(-1, keepdims=True)) * attn_scale
            return ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ do

        return self._node(run, [of[key] for key in ("q", "k", "v", "o", "dO", "stats")], 3)

    def validate(self):
        assert self.run
        for tensor in (*self.inputs, *self.outputs):
            assert None not in (tensor.dim, tensor.stride, tensor.kind, tensor.uid)
        assert all(tensor.is_output for tensor in self.outputs)

    def build_operation_graph(self):
        if any(tensor.dim[3] == REFUSED for tensor in self.inputs):
            raise cudnnGraphNotSupportedError("no engine\nfor such rows")

    def create_execution_plans(self, modes):
        assert modes

    def deselect_numeric_notes(self, notes):
        assert notes

    def check_support(self):
        pass

    def build_plans(self, policy):
        self.is_built = True
        if policy == build_plan_policy.ALL:
            self.plans = PLANS

    def get_execution_plan_count(self):
        return len(self.plans)

    def get_plan_name_at_index(self, index):
        return self.plans[index]

    def get_workspace_size(self):
        return 16

    def get_workspace_size_plan_at_index(self, index):
        if self.plans[index] == "left out":
            raise cudnnGraphNotSupportedError("it was deselected")
        return 16

    def execute_plan_at_index(self, pointers, room, index, handle):
        if not self.plans[index].startswith("numpy"):
            raise RuntimeError("no such engine here")
        self.execute(pointers, room, handle)

    def execute(self, pointers, room, handle):
        assert self.is_built
        assert room
        given = [tensor.at(pointers[tensor.uid]) for tensor in self.inputs]
        wanted = [tensor.at(pointers[tensor.uid]) for tensor in self.outputs]

        def work():
            for target, values in zip(
                wanted, self.run(*(a.astype(np.float64) for a in given)), strict=True
            ):
                target[...] = values
            return True

        handle["stream"].put(work)


def places(x, w, y, pad, stride):
    """For each tap and group: the inputs there, the outputs they go to, and the weights."""
    channels, kernels = w.shape[1], w.shape[0]
    groups = x.shape[1] // channels
    for g in range(groups):
        c, k = (slice(g * n, (g + 1) * n) for n in (channels, kernels // groups))
        for r in range(w.shape[2]):
            for s in range(w.shape[3]):
                rows = inside(x.shape[2], y.shape[2], r - pad[0], stride[0])
                columns = inside(x.shape[3], y.shape[3], s - pad[1], stride[1])
                if rows is None or columns is None:
                    continue
                yield x[:, c, rows[0], columns[0]], y[:, k, rows[1], columns[1]], w[k, :, r, s]


def inside(side, outputs, shift, stride):
    """Inputs within the map, and the outputs that read them."""
    kept = [p for p in range(outputs) if 0 <= p * stride + shift < side]
    if not kept:
        return None
    first, last = kept[0] * stride + shift, kept[-1] * stride + shift
    return slice(first, last + 1, stride), slice(kept[0], kept[-1] + 1)


def weights(q, k, scale, is_causal):
    """Weights of attention, and the logarithm of what they were divided by."""
    scores = q @ k.swapaxes(2, 3) * scale
    if is_causal:
        scores = np.where(np.tri(scores.shape[2], dtype=bool), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    found = np.exp(scores - top)
    total = found.sum(-1, keepdims=True)
    return found / total, (np.log(total) + top)[..., 0]
