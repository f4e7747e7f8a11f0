"""Kernels of the CUDA backend, one file a layer kind or step op, called as their NumPy twins are.

``tests/runtime/test_cuda_kernels.py`` holds each against its twin. Arrays lie as
``runtime.cuda.layout`` says; nothing is allocated in a step but workspace on its first call.
"""
