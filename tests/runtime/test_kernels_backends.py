"""The contract of every backend: its own kernels against the oracles of all."""

from dataclasses import replace
from importlib import metadata
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import BackendUnavailable
from planner.layer import Layer
from runtime.backends import Backend, backend, backend_names, mkl, onednn
from tests.runtime.kernel_cases import layers, seeds
from tests.runtime.kernel_checks import check_differences, check_formula, check_layer_definitions
from tests.runtime.kernel_faults import CONV, turned_kernel
from tests.runtime.kernel_formulas import FORMULAS


def there(name: str) -> Backend:
    try:
        return backend(name)
    except BackendUnavailable as error:
        pytest.skip(str(error))


def check_backend(layer: Layer, samples: int, seed: int, by: Backend) -> None:
    check_value = check_formula if layer.kind in FORMULAS else check_layer_definitions
    check_value(layer, samples, seed, by.kernel)
    check_differences(layer, samples, seed, by.kernel)


OF_BACKENDS = tuple({name.partition(".")[0]: "" for name in (*onednn.KERNELS, *mkl.KERNELS)})
"""Kinds that backends have kernels of their own for."""


@pytest.mark.parametrize("name", backend_names())
@settings(max_examples=15, deadline=None)
@given(layer=layers(OF_BACKENDS), samples=st.integers(1, 3), seed=seeds, small=st.booleans())
def test_a_backend_computes_what_is_defined(name, layer, samples, seed, small):
    with patch.object(onednn, "SMALL", 0 if small else onednn.SMALL):
        check_backend(layer, samples, seed, there(name))


@pytest.mark.parametrize("name", backend_names())
def test_a_backend_with_a_fault_is_caught(name):
    faulty = replace(there(name), own={"conv2d.forward": turned_kernel})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_backend(CONV, 2, 0, faulty)


@pytest.mark.parametrize(
    ("name", "library", "extra"), [("mkl", "Intel's MKL", "mkl"), ("onednn", "PyTorch", "oracle")]
)
def test_a_backend_without_its_library_is_refused_in_one_sentence(
    name, library, extra, monkeypatch
):
    def nowhere(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", nowhere)
    expected = rf"^backend '{name}': expected {library}, .*foreplan.{extra}"
    with pytest.raises(BackendUnavailable, match=expected):
        backend.__wrapped__(name)
