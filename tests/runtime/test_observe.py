"""Every task alone: timed again and again, each time on the values it has in a step."""

import numpy as np

from planner.layer import Layer
from planner.optimizer import update
from planner.plan import Training
from runtime.kernels import kernel
from runtime.observe import SOLO_ROUNDS, _alone_s, _written_over


def gate_call():
    shapes = ((2, 3, 3), (2, 1, 1))
    gate = Layer(name="g", kind="gate", in_shapes=shapes, inputs=("a", "b"))
    return gate.call("forward", 4, "float32")


def test_what_is_written_over_is_what_is_updated_or_worked_on_in_place():
    call = gate_call()
    maps, factors = (np.ones(t.shape, t.dtype) for t in call.reads)
    assert [a is maps for a in _written_over(call, [maps, factors, maps])] == [True]
    assert _written_over(call, [maps, factors, np.empty_like(maps)]) == []
    sgd = update(Training(batch=1), 5)
    arrays = [np.ones(t.shape, t.dtype) for t in sgd.tensors]
    assert list(map(id, _written_over(sgd, arrays))) == list(map(id, arrays))


def test_a_gate_in_place_scales_the_same_maps_in_every_round():
    call = gate_call()
    maps, factors = np.ones(call.reads[0].shape), np.full(call.reads[1].shape, 0.5)
    seen = []

    def fire():
        kernel(call.kernel)(maps, factors, maps)
        seen.append(maps.copy())

    kernel(call.kernel)(maps.copy(), factors, maps.copy())  # compiled before, as in a run
    seconds = _alone_s(fire, lambda: None, [maps], [maps])
    assert seconds > 0
    assert len(seen) == SOLO_ROUNDS
    assert all((maps == 0.5).all() for maps in seen)
    _alone_s(fire, lambda: None, [maps], [])
    assert seen[-1].max() == 0.5 ** (1 + SOLO_ROUNDS), "and it would shrink them otherwise"
