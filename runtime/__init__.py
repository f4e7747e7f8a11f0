"""The same program in real time: kernels, transport, actors, measurement."""
