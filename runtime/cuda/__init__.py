"""The CUDA backend: kernels, memory, streams and messages of a GPU, through CuPy.

``text`` and ``kernels`` are what is computed, ``engine`` what computes it; ``cupy_engine`` and
``graphs`` (convolution and attention of cuDNN) import CuPy and cuDNN when first used, so that all
else, and every test of it, runs without a GPU.
"""
