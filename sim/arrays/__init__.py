"""The parts of the array engine (``sim.array_engine``), compiled by Numba."""
