"""Every kernel runs on every backend, stays there, and writes to nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from kernel_cases import PLACES, Array, Place, generator, random_sigma

from spanver import kernels
from spanver.kernels import SpannerTrace


@pytest.mark.parametrize("name", list(PLACES))
def test_backends_hand_back_the_bytes_they_were_given(name: str) -> None:
    """Also the one place where a backend that is missing is skipped, so that it is said once."""
    backend = PLACES[name]()
    data = generator(0).normal(size=(2, 3))
    there = backend.put(data)
    assert backend.same_place(there)
    assert backend.get(there).tobytes() == data.tobytes()


def calls() -> dict[str, tuple[Callable[..., Any], tuple[Array, ...]]]:
    rng = generator(1)
    sigma = random_sigma(rng, 3)
    precision = np.linalg.inv(sigma)
    precision = 0.5 * (precision + precision.T)
    features, others, theta = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)), rng.normal(size=3)
    lattice = np.array(list(itertools.product([0.0, 1.0, 2.0], repeat=3)))
    log_base, scores = np.log(rng.dirichlet(np.ones(6), size=4)), rng.normal(size=(4, 6))
    targets = rng.normal(size=7)
    return {
        "elliptic_norms": (kernels.elliptic_norms, (features, sigma)),
        "inverse_factor": (kernels.inverse_factor, (sigma,)),
        "precision_norms": (kernels.precision_norms, (features, precision)),
        "uncertain_mask": (partial(kernels.uncertain_mask, nu=0.7), (features, others, precision)),
        "uncertain_mask-ties": (partial(kernels.uncertain_mask, nu=1.0), (lattice, lattice, np.eye(3))),
        "update_inverse_factor": (kernels.update_inverse_factor, (np.linalg.inv(np.linalg.cholesky(sigma)), theta)),
        "fit": (partial(kernels.fit, radius=9.0), (features, targets)),
        "fit-on-the-sphere": (partial(kernels.fit, radius=0.1), (features, targets)),
        "fit_moments": (partial(kernels.fit_moments, radius=0.1), (sigma, theta)),
        "linear_scores": (kernels.linear_scores, (features, theta)),
        "truncated_scores": (partial(kernels.truncated_scores, nu=0.7), (features, others[0], theta, precision)),
        "log1mexp": (kernels.log1mexp, (-np.abs(scores),)),
        "log_normaliser": (partial(kernels.log_normaliser, beta=0.3), (log_base, scores)),
        "log_softmax": (partial(kernels.log_softmax, beta=0.3), (log_base, scores)),
        "spanner_trace": (partial(kernels.spanner_trace, ridge=1.0, nu=0.4), (rng.normal(size=(8, 5, 3)),)),
        "ridge_regression": (partial(kernels.ridge_regression, ridge=0.5), (features, targets)),
    }


LISTS = {"barycentric_spanner", "covering_list"}  # they return indices, not arrays


def arrays_in(result: Any) -> Iterator[Any]:
    parts: list[Any] = [result]
    if isinstance(result, tuple):
        parts = list(result)
    elif isinstance(result, SpannerTrace):
        parts = [result.accepted, result.norms, result.sigma, result.log_det]
    yield from (part for part in parts if not isinstance(part, float))


def test_every_kernel_is_called_on_every_backend() -> None:
    assert {name.partition("-")[0] for name in calls()} == set(kernels.__all__) - {"SpannerTrace"} - LISTS


@pytest.mark.parametrize("name", list(calls()))
def test_results_stay_where_the_inputs_are_and_equal_those_of_numpy(backend: Place, name: str) -> None:
    function, inputs = calls()[name]
    results = list(arrays_in(function(*(backend.put(array) for array in inputs))))
    assert len(results) >= 1
    assert all(backend.same_place(result) for result in results)
    for result, plain in zip(results, arrays_in(function(*inputs)), strict=True):
        in_numpy = backend.get(result)
        assert in_numpy.dtype == plain.dtype
        np.testing.assert_allclose(in_numpy, plain, rtol=0.0, atol=1e-13 * max(1.0, float(np.abs(plain).max())))


@pytest.mark.parametrize("name", list(calls()))
def test_inputs_are_never_written_to(backend: Place, name: str) -> None:
    function, inputs = calls()[name]
    given = [backend.put(array) for array in inputs]
    function(*given)
    for array, before in zip(given, inputs, strict=True):
        assert backend.get(array).tobytes() == before.tobytes()
