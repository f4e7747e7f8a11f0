"""Layer kinds, one file each; the kernels of the same name live in ``runtime/kernels``.

A layer kind is a module with ``out_shape``, ``parameters`` and the three op calls ``forward``,
``weight_grad`` (only where there are parameters) and ``input_grad``. Shapes of a layer are per
sample: ``(C, H, W)`` or ``(F,)``. With a batch of n they become ``(C, H, W, n)`` (so that one
matmul serves the whole microbatch and every window is a few long runs) and ``(n, F)``;
:func:`planner.model.batched` says it.

Names that a kind uses for its tensors are its contract with ``lower``: ``x, y`` input and output,
``w, b`` parameters, ``dx, dy, dw, db`` their gradients; any other written tensor is kept for the
backward pass if ``forward`` writes it, and is workspace otherwise.
"""
