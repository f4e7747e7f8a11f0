"""Optimizers, one file each; the kernels of the same name live in ``runtime/kernels``.

An optimizer is a module with

- ``STATES``: what it keeps from step to step, one value a parameter each; also names of registers,
- ``SETTINGS``: the fields of ``Training`` that its kernel takes,
- ``LEARNING_RATE``: the one to use where none is given,
- ``FLOP``: of a parameter's update.

Its kernel ``NAME.update`` takes parameters, gradients and the states, all of them updated (the
gradients are scratch), and the settings by name; ``step`` too, if it counts updates. Its kernel
``NAME.mixed`` does so for halves: it takes their gradients and the scale of the loss
(``planner.precision``), masters and states in float32, and the parameters, which it writes.
"""
