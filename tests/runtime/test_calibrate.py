"""Calibration for real: two ops on one rank, and transfers between two."""

from dataclasses import replace

import pytest

from foreplan.machines import Local
from hwprofiles.errors import RecordError
from hwprofiles.link import Link
from planner.calls import StepCalls
from planner.model import load_model
from planner.opsets import sentinels
from planner.plan import Training
from planner.steps import add
from runtime.calibrate import calibrate
from runtime.timing import BLOCKS, TRANSFER_BYTES


@pytest.fixture(scope="module")
def local(home):
    return Local.here()


@pytest.fixture(scope="module")
def calls(dp):
    step = StepCalls.of(load_model("mlp"), Training(batch=32), dp(1, 32))
    return {call.signature: call for call in (step.load, add(3000, "float32"))}


def test_two_ops_on_one_rank(local, calls):
    seen = []
    identity = local.identity(1)
    found = calibrate(
        calls, identity, local.facts.cpus[:1], progress=lambda done, total: seen.append(done)
    )
    assert found.ops.keys() == calls.keys()
    for signature, sample in found.ops.items():
        call = calls[signature]
        assert (sample.op_class, sample.dtype) == (call.op_class, call.dtype)
        assert (sample.flop, sample.moved_bytes) == (call.flop, call.moved_bytes)
        assert sample.median_s > 0
        assert sample.repeats == BLOCKS
    assert found.transfers == ()
    assert 0 < found.scalars["launch_overhead_s"] < 1e-3
    assert found.sentinels.keys() == sentinels().keys()
    assert all(len(times) == 1 and times[0] > 0 for times in found.sentinels.values())
    assert found.context == dict(identity.context)
    assert seen


def test_transfers_between_two_ranks_make_a_link(local):
    call = add(64, "float32")
    identity = local.identity(2)
    found = calibrate({call.signature: call}, identity, local.facts.cpus[:2])
    assert [t.payload_bytes for t in found.transfers] == list(TRANSFER_BYTES)
    assert all(t.median_s > 0 for t in found.transfers)
    assert found.transfers[-1].median_s > found.transfers[0].median_s
    assert found.ops[call.signature].repeats == 2 * BLOCKS
    assert all(len(times) == 2 for times in found.sentinels.values())
    link = Link.from_samples("copy", found.transfer_points, source="here")
    assert link.bandwidth_bytes_per_s > 1e6


def test_a_worker_with_another_blas_refuses(local, calls):
    other = replace(local.identity(1), blas_version="0.0.1")
    with pytest.raises(RecordError, match=r"measured with BLAS .* 0\.0\.1 .* hw calibrate"):
        calibrate(calls, other, local.facts.cpus[:1])
