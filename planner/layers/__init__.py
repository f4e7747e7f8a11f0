"""Layer kinds, one file each; the kernels of the same name live in ``runtime/kernels``.

A layer kind is a module with ``out_shape`` and the op calls ``forward``, ``weight_grad`` (only
where there are ``parameters``) and ``input_grad`` (but for a kind whose input gradients are the
output gradient itself). Shapes of a layer are per sample: ``(C, H, W)``, ``(F,)``, or ``(S, F)``
of S tokens. With a batch of n they become ``(C, H, W, n)`` (so that one matmul serves the whole
microbatch and every window is a few long runs), ``(n, F)`` and ``(n, S, F)`` (a linear layer of
tokens is one matmul of n S rows); :func:`planner.layer.batched` says it. ``out_shape`` and
``parameters`` take the shapes of the inputs, then the attributes by name.

Names that a kind uses for its tensors are its contract with ``lower``: ``x, y`` input and output
(``x0, x1, ...`` where there are several inputs), ``w, b`` parameters, ``dx, dy, dw, db`` their
gradients. ``moments`` gives the shapes of running moments, if a kind has any. What else ``forward``
writes is kept for the backward pass, and what else ``weight_grad`` writes is handed to
``input_grad``. Workspace stands after a ``~`` and lasts for one op. A kind with ``IN_PLACE`` has
kernels that may write ``y`` over the first input and ``dx`` over ``dy``, and whose gradients need
no ``x`` of those. A kind with ``TRAINING_ONLY`` hands on its input where a model is evaluated.
``indices`` names inputs that are int64 numbers, not floats, and what they are below; ``borrowed``
parameters that belong to the layer it is tied to.
"""
