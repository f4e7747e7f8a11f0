"""Pipeline schedules, a file each: in which order a stage runs the passes of its microbatches.

A schedule is a module with

- ``order(stage, stages, microbatches)``: the ``Turn``s of a stage;
- ``in_flight(stage, stages, microbatches)``: the microbatches that a stage has run forward and not
  yet backward, at most;
- ``bounds_ps(times)``: bounds of a step that are its own, by name, beside those of ``StageTimes``.
"""
