"""What happens when, in virtual time: the task graph, two engines, checks, the timeline.

Semantics, the same in every engine. Time is an integer count of picoseconds and advances to the
next instant t at which something ends. At t, rounds until nothing changes:

1. Every task that ends at t completes and frees its lanes. A slot returns when the last reader of
   its item completes, or when its writer completes if nobody reads the item. A transfer whose
   overhead ends at t becomes an active flow (a transfer of 0 bytes completes instead).
2. A task is *eligible* when all its dependencies are complete, every register that it writes has
   enough free slots for it (two when it writes the register twice) and it has not started.
   ``eligible_at`` is the first instant of its current unbroken eligibility: a task that loses
   eligibility because another one took the slot gets a new ``eligible_at`` when it regains it.
3. Each free lane, in ascending lane id, starts the eligible task with the least (priority,
   eligible_at, task id) among those that use this lane and whose lanes are all free. It takes
   lanes and slots at once, so a start may make other tasks ineligible immediately. A task of zero
   length, or an overhead of zero length, ends in the next round of the same instant.

No task blocks a lane that it does not hold, and none is pre-empted.

Flows share links max-min fairly (``sim.fair``). When no more rounds change anything at t, the rates
of exactly the connected components (flows joined by shared links) touched by flows that started or
ended at t are solved again, flows in ascending task id. A flow whose rate did not change keeps its
finish. One whose rate changed has its remaining bytes reduced by ``rate * (t - since) / 1e12``, the
old rate since the last change, and gets a new finish, at least 1 ps later. A flow that reaches its
finish completes, whatever rounding left of its bytes.

When no event is left and tasks have not run, the engine raises ``DeadlockError``. Engines take
graphs that ``sim.checks.check_structure`` accepts.
"""
