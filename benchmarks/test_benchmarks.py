"""pytest-benchmark: the workloads of the asv suites, for use while working; counters are in `extra_info`.

pytest benchmarks --benchmark-compare
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import workloads
from spanver.kernels import fit_moments, inverse_factor, precision_norms, update_inverse_factor
from spanver.oracles.literal import literal_oracle


@pytest.fixture(params=[8, 32, 128])
def dimension(request):
    return request.param


def test_precision_norms(benchmark, dimension):
    vectors, precision = workloads.vectors(4096, dimension), np.linalg.inv(workloads.sigma(dimension))
    norms = benchmark(precision_norms, vectors, precision)
    assert norms.shape == (4096,)


def test_update_inverse_factor(benchmark, dimension):
    factor, vector = inverse_factor(workloads.sigma(dimension)), workloads.vectors(1, dimension)[0]
    updated, gain = benchmark(update_inverse_factor, factor, vector)
    assert updated.shape == factor.shape
    assert gain > 0


@pytest.mark.parametrize("radius", [0.5, 1e4], ids=["on the sphere", "inside"])
def test_fit(benchmark, dimension, radius):
    sigma = workloads.sigma(dimension)
    theta = benchmark(fit_moments, sigma, sigma @ np.ones(dimension), radius)
    assert np.linalg.norm(theta) <= radius * (1 + 1e-12)


@pytest.mark.parametrize("log2_coverage", [4, 40])
def test_needle_run(benchmark, log2_coverage):
    _, ledger = benchmark.pedantic(workloads.needle_run, args=(2.0**log2_coverage,), rounds=3)
    benchmark.extra_info["samples"] = str(ledger.samples)
    benchmark.extra_info["rewards"] = ledger.rewards
    assert ledger.samples > 2.0**log2_coverage


def test_small_literal_run(benchmark):
    problem = workloads.small_problem()
    _, ledger = benchmark.pedantic(
        lambda: workloads.run(problem, literal_oracle(problem, seed=1), workloads.SMALL_SETTINGS), rounds=3
    )
    benchmark.extra_info["samples"] = ledger.samples
    assert ledger.samples > 0
