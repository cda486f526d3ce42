"""The adapters on instances with known answers, and the findings again."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from random import Random

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from numpy.typing import ArrayLike

from spanver.errors import ArgumentError, MissingExtraError
from spanver.guarantees.residuals import barycentric_coefficient, swap_factor
from spanver.guarantees.rounding import pivot_error, ridge_error
from spanver.subjects.contract import Subject
from spanver.subjects.libraries.catalogue import LIBRARIES
from spanver.subjects.libraries.library import Library
from spanver.subjects.libraries.numpy_choice import numpy_draw
from spanver.subjects.libraries.river import river_batch_ridge, river_ridge
from spanver.subjects.libraries.scikit_learn import scikit_learn_ridge
from spanver.subjects.libraries.scipy_qr import scipy_pivoted_diagonal, scipy_pivoted_spanner
from spanver.subjects.libraries.vowpal_wabbit import vowpal_wabbit_spanner

FINDINGS = Path(__file__).parents[2] / "docs" / "findings"
SPANNERS = [name for name, each in LIBRARIES.items() if "barycentric_spanner" in each.subject.functions]
RIDGES = [name for name, each in LIBRARIES.items() if "ridge_regression" in each.subject.functions]
LOWEST = 0.15  # of the singular values of a set, relative to the largest


def needs(*modules: str) -> None:
    """Skip where a library is missing, without importing it."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: it comes with the extra third-party")


def needs_of(name: str) -> None:
    if LIBRARIES[name].version() is None:
        pytest.skip(f"{LIBRARIES[name].library} is not installed: it comes with the extra third-party")
    needs(*(["pandas"] if name == "river-batch" else []))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_subject_names_its_library_its_version_and_what_it_promises(name: str) -> None:
    needs_of(name)
    library = LIBRARIES[name]
    assert library.subject.name == name
    assert library.promises
    assert library.subject.functions
    assert (library.version() or "")[0].isdigit()


def test_a_library_that_is_missing_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vowpalwabbit", None)
    with pytest.raises(MissingExtraError, match=r"needs vowpalwabbit: .*third-party"):
        vowpal_wabbit_spanner([[1.0]], 2.0)


def test_a_distribution_that_is_not_installed_has_no_version() -> None:
    assert Library(Subject("none", {}), "no-such-distribution-of-ours", {}).version() is None


@pytest.mark.parametrize("name", SPANNERS)
def test_of_long_axes_and_a_short_sum_the_axes_are_chosen(name: str) -> None:
    needs_of(name)
    chosen = LIBRARIES[name].subject.functions["barycentric_spanner"]([[0.1, 0.1], [1.0, 0.0], [0.0, 0.9]], 2.0)
    assert sorted(chosen) == [1, 2]
    assert barycentric_coefficient([[0.1, 0.1], [1.0, 0.0], [0.0, 0.9]], chosen) == 1.0


@pytest.mark.parametrize("name", SPANNERS)
def test_a_set_of_zero_vectors_needs_no_spanner(name: str) -> None:
    needs_of(name)
    assert LIBRARIES[name].subject.functions["barycentric_spanner"]([[0.0, 0.0]], 2.0) == []


@pytest.mark.parametrize("vectors", [[1.0, 2.0], [[math.nan, 1.0]], np.zeros((0, 2))])
def test_an_adapter_refuses_what_is_no_set_of_vectors(vectors: ArrayLike) -> None:
    for function in (vowpal_wabbit_spanner, scipy_pivoted_spanner):
        with pytest.raises(ArgumentError, match="vectors is"):
            function(vectors, 2.0)


def test_scipy_puts_the_longest_column_first_and_its_diagonal_does_not_increase() -> None:
    needs("scipy")
    assert scipy_pivoted_spanner([[3.0, 0.0], [0.0, 5.0], [1.0, 0.0]]) == [1, 0]
    assert scipy_pivoted_diagonal([[3.0, 0.0], [0.0, 5.0], [1.0, 0.0]]) == pytest.approx([5.0, 3.0])
    random = np.random.default_rng(3)
    for _ in range(200):
        vectors = random.normal(size=tuple(random.integers(1, 9, 2)))
        diagonal = scipy_pivoted_diagonal(vectors)
        assert np.all(np.diff(diagonal) <= pivot_error(LIBRARIES["scipy"].subject.unit, vectors))


@pytest.mark.parametrize("name", RIDGES)
def test_ridge_regression_of_one_feature_is_the_shrunk_quotient(name: str) -> None:
    needs_of(name)
    # ridge 1: (1*2 + 2*3) / (1 + 4 + 1); the batch of river knows this value alone.
    theta = LIBRARIES[name].subject.functions["ridge_regression"]([[1.0], [2.0]], [2.0, 3.0], 1.0)
    assert theta == pytest.approx([8.0 / 6.0], rel=100.0 * LIBRARIES[name].subject.unit)


@pytest.mark.parametrize("name", [name for name in RIDGES if name != "river-batch"])
def test_ridge_regression_solves_its_normal_equations(name: str) -> None:
    needs_of(name)
    random = np.random.default_rng(4)
    for _ in range(20):
        rows, columns = random.integers(1, 9, 2)
        features, targets = random.normal(size=(rows, columns)), random.normal(size=rows)
        ridge = float(10.0 ** random.uniform(-2, 1))
        theta = LIBRARIES[name].subject.functions["ridge_regression"](features, targets, ridge)
        residual = float(np.linalg.norm(features.T @ (features @ theta - targets) + ridge * theta))
        assert residual <= ridge_error(LIBRARIES[name].subject.unit, features, targets, np.asarray(theta), ridge)


def test_a_ridge_regression_refuses_targets_that_do_not_fit() -> None:
    with pytest.raises(ArgumentError, match="targets is"):
        scikit_learn_ridge([[1.0]], [1.0, 2.0], 1.0)
    with pytest.raises(ArgumentError, match="ridge is"):
        river_ridge([[1.0]], [1.0], 0.0)


def test_numpy_draws_a_certain_outcome_always_and_others_within_six_deviations() -> None:
    assert numpy_draw([0.0, 1.0, 0.0], 50, 7).tolist() == [1] * 50
    law = np.array([0.5, 0.3, 0.2])
    counts = np.bincount(numpy_draw(law, 100_000, 7), minlength=3)
    assert np.all(np.abs(counts - 1e5 * law) <= 6.0 * np.sqrt(1e5 * law * (1.0 - law)))


@strategies.composite
def grids(draw: strategies.DrawFn) -> np.ndarray:
    """Sets of up to 8 vectors on a grid of tenths, in up to 4 dimensions."""
    dimension = draw(strategies.integers(2, 4))
    rows = strategies.lists(strategies.integers(0, 10), min_size=dimension, max_size=dimension)
    return np.array(draw(strategies.lists(rows, min_size=dimension + 1, max_size=8))) / 10.0


def well_conditioned(vectors: np.ndarray) -> bool:
    scales = np.linalg.svd(vectors, compute_uv=False)
    return bool(scales[-1] > 0.0 and scales[-1] >= LOWEST * scales[0])


@pytest.mark.parametrize(("earlier_calls", "approximation"), [(0, 1.25), (1, 2.0)])
def test_a_search_finds_and_shrinks_a_spanner_of_vowpal_wabbit_that_is_none(
    earlier_calls: int, approximation: float
) -> None:
    needs("vowpalwabbit")

    def broken(vectors: np.ndarray) -> bool:
        if not well_conditioned(vectors):
            return False
        chosen = vowpal_wabbit_spanner(vectors, approximation, earlier_calls=earlier_calls)
        # A choice of too few is left out: coefficients alone are compared.
        return approximation * 1.001 < barycentric_coefficient(vectors, chosen) < math.inf

    every = list(hypothesis.HealthCheck)
    found = hypothesis.find(
        grids(),
        broken,
        settings=hypothesis.settings(max_examples=4000, database=None, deadline=None, suppress_health_check=every),
        random=Random(0),
    )
    chosen = vowpal_wabbit_spanner(found, approximation, earlier_calls=earlier_calls)
    assert swap_factor(found, chosen) == pytest.approx(barycentric_coefficient(found, chosen))
    assert len(found) <= 6


def test_a_fresh_vowpal_wabbit_breaks_its_own_constant_of_two() -> None:
    needs("vowpalwabbit")
    vectors = np.array([[0, 0, 0, 2], [0, 0, 6, 0], [0, -2, 1, 0], [2, 0, 5, 0], [4, 1, 4, 0]]) / 10.0
    chosen = vowpal_wabbit_spanner(vectors, 2.0)
    assert chosen == [0, 2, 3, 4]
    # 24/11, in fractions: the second vector in the chosen ones.
    assert barycentric_coefficient(vectors, chosen) == pytest.approx(24.0 / 11.0)


def test_vowpal_wabbit_answers_the_same_query_differently_the_second_time() -> None:
    needs("vowpalwabbit")
    vectors = np.array([[1.0, 0.2], [0.2, 1.0], [0.3, 0.3]])
    first, second = (vowpal_wabbit_spanner(vectors, 2.0, earlier_calls=calls) for calls in (0, 1))
    assert barycentric_coefficient(vectors, first) == pytest.approx(1.0)
    assert barycentric_coefficient(vectors, second) == pytest.approx(4.0)


def test_the_batch_of_river_fits_the_reciprocal_of_its_ridge() -> None:
    needs("river", "pandas")
    theta = river_batch_ridge([[1.0]], [1.0], 4.0)
    assert theta == pytest.approx([1.0 / 1.25])
    assert theta != pytest.approx([1.0 / 5.0])


SCRIPTS = {"vowpal_wabbit_spanner.py": ["vowpalwabbit"], "river_learn_many.py": ["river", "pandas"]}
"""Of findings, with the modules that each needs."""


@pytest.mark.parametrize(("script", "modules"), SCRIPTS.items())
def test_a_finding_is_reproduced_by_its_script(script: str, modules: list[str]) -> None:
    needs(*modules)
    finished = subprocess.run(
        [sys.executable, str(FINDINGS / script)], capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr


def test_every_script_is_run_and_every_one_is_on_the_page() -> None:
    scripts = {path.name for path in FINDINGS.glob("*.py")}
    assert scripts == set(SCRIPTS)
    page = (FINDINGS.parent / "findings.md").read_text(encoding="utf-8")
    assert all(f"docs/findings/{script}" in page for script in scripts)
