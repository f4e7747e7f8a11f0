"""Ranks that share cores: who waits for the others uses next to no CPU time."""

import threading
import time

import pytest

from runtime.patience import Patient

LATE_S = 0.05


class Comm:
    """A communicator of two ranks, of which the other comes late; notes what is asked of it."""

    rank, size = 0, 2

    def __init__(self):
        self.here = threading.Event()
        threading.Timer(LATE_S, self.here.set).start()
        self.asked = []

    def Ibarrier(self):  # noqa: N802 - MPI's own name
        return self

    def Test(self):  # noqa: N802 - MPI's own name
        return self.here.is_set()

    def __getattr__(self, name):
        def give(*given, **how):
            assert self.here.is_set(), f"{name} would have polled for the other rank"
            self.asked.append((name, given, how))
            return name

        return give


@pytest.mark.parametrize(
    ("name", "given", "how"),
    [
        ("gather", (3,), {}),
        ("gather", (3, 1), {}),
        ("allgather", (3,), {}),
        ("allreduce", (3,), {"op": max}),
        ("bcast", (3,), {"root": 1}),
    ],
)
def test_a_rank_sleeps_until_all_have_come_and_then_does_what_was_asked(name, given, how):
    began_s, cpu_s = time.monotonic(), time.thread_time()
    comm = Comm()
    assert getattr(Patient(comm), name)(*given, **how) == name
    assert time.monotonic() - began_s >= LATE_S
    assert time.thread_time() - cpu_s < LATE_S / 2
    assert comm.asked == [(name, given, how)]


def test_all_else_is_the_communicators_own():
    comm = Comm()
    patient = Patient(comm)
    assert (patient.rank, patient.size) == (0, 2)
    comm.here.wait()
    assert patient.Ssend_init("array", 1, tag=7) == "Ssend_init"
