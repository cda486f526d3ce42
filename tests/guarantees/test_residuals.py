"""B1 and B2 against enumeration, each other, and spanners that must not pass; the least right divergence (I2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.special import logsumexp, rel_entr

from spanver.errors import ArgumentError
from spanver.guarantees.residuals import barycentric_coefficient, least_divergence, swap_factor
from spanver.values import FloatArray

MEASURES = (barycentric_coefficient, swap_factor)
PLANE = [[1.0, 0.0], [0.0, 1.0], [3.0, -1.0], [0.5, 0.5]]


def test_both_measures_are_the_known_number() -> None:
    # (3, -1) = 3 e1 - 1 e2; swapping e1 for it turns the determinant 1 into 3.
    assert barycentric_coefficient(PLANE, [0, 1]) == pytest.approx(3.0)
    assert swap_factor(PLANE, [0, 1]) == pytest.approx(3.0)


def test_a_negative_coefficient_counts_like_a_positive_one() -> None:
    # A signed determinant or coefficient would see at most 1 here.
    vectors = [[1.0, 0.0], [0.0, 1.0], [-5.0, 0.0]]
    assert barycentric_coefficient(vectors, [0, 1]) == pytest.approx(5.0)
    assert swap_factor(vectors, [0, 1]) == pytest.approx(5.0)


def test_the_best_spanner_of_all_has_coefficient_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(7, 3))
    best = max(itertools.combinations(range(7), 3), key=lambda rows: abs(np.linalg.det(vectors[list(rows)])))
    for measure in MEASURES:
        assert measure(vectors, best) == pytest.approx(1.0)


def test_both_agree_with_cramers_rule_on_every_choice() -> None:
    vectors = np.random.default_rng(1).integers(-5, 6, (6, 3)).astype(float)
    compared = 0
    for rows in itertools.combinations(range(6), 3):
        basis = vectors[list(rows)]
        before = abs(np.linalg.det(basis))
        if before < 0.5:  # integer determinants
            assert barycentric_coefficient(vectors, rows) == swap_factor(vectors, rows) == math.inf
            continue
        largest = 0.0
        for place, row in itertools.product(range(3), range(6)):
            swapped = basis.copy()
            swapped[place] = vectors[row]
            largest = max(largest, abs(np.linalg.det(swapped)) / before)
        for measure in MEASURES:
            assert measure(vectors, rows) == pytest.approx(largest, rel=1e-9)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("chosen", "fault"),
    [
        ([], "nothing"),
        ([0], "too few"),
        ([0, 1, 2], "too many"),
        ([0, 0], "repeated"),
        ([0, 4], "out of range"),
        ([0, -1], "counted from the end"),
        ([0, 3], "dependent"),
        ([2, 0], None),
    ],
)
def test_only_a_basis_out_of_members_has_a_finite_measure(measure, chosen, fault) -> None:  # type: ignore[no-untyped-def]
    vectors = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]]
    assert (measure(vectors, chosen) == math.inf) == (fault is not None)


def test_no_invalid_spanner_passes_and_no_valid_one_fails() -> None:
    # Validity by exact integer arithmetic: |det| of every swap against twice |det| of the choice.
    def determinant(rows: np.ndarray) -> int:
        (a, b, c), (d, e, f), (g, h, i) = rows.tolist()
        return int(abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)))

    random = np.random.default_rng(2)
    verdicts = {True: 0, False: 0}
    for _ in range(400):
        vectors = random.integers(-3, 4, (6, 3))
        if np.linalg.matrix_rank(vectors) < 3:
            continue
        chosen = random.permutation(6)[:3].tolist()
        basis = vectors[chosen]
        valid = determinant(basis) > 0 and all(
            determinant(np.vstack([basis[:place], vectors[row : row + 1], basis[place + 1 :]]))
            <= 2 * determinant(basis)
            for place, row in itertools.product(range(3), range(6))
        )
        verdicts[valid] += 1
        for measure in MEASURES:
            assert (measure(vectors, chosen) <= 2.0 + 1e-9) == valid
    assert min(verdicts.values()) > 20


def test_the_span_may_be_smaller_than_the_space() -> None:
    plane = np.array(PLANE) @ np.array([[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 3.0, 1.0]])
    for measure in MEASURES:
        assert measure(plane, [0, 1]) == pytest.approx(3.0)
        assert measure(plane, [0, 1, 2]) == math.inf


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e150])
def test_scale_changes_nothing(scale: float) -> None:
    for measure in MEASURES:
        assert measure(np.array(PLANE) * scale, [0, 1]) == pytest.approx(3.0)


def test_many_dimensions_overflow_nothing() -> None:
    # The determinants themselves are 1e-480 and 1e-472: no double holds them.
    vectors = np.vstack([np.eye(60) * 1e-8, np.eye(60)[:1]])
    for measure in MEASURES:
        assert measure(vectors, range(60)) == pytest.approx(1e8)


def test_a_set_of_zero_vectors_is_spanned_by_nothing() -> None:
    for measure in MEASURES:
        assert measure(np.zeros((3, 2)), []) == 1.0
        assert measure(np.zeros((3, 2)), [0]) == math.inf


@pytest.mark.parametrize("vectors", [[1.0, 2.0], [[math.nan, 1.0]], [[math.inf, 1.0]]])
def test_what_is_no_finite_matrix_is_refused(vectors: ArrayLike) -> None:
    for measure in MEASURES:
        with pytest.raises(ArgumentError, match=r"vectors is .* (finite|2 dimensions)"):
            measure(vectors, [0])


# Divergence of rounded laws

DIVERGENCES: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "of differences of logs": lambda law, other: float(np.sum(np.exp(law) * (law - other))),
    "of two sums": lambda law, other: float(np.exp(law) @ law - np.exp(law) @ other),
    "of logs of quotients": lambda law, other: float(rel_entr(np.exp(law), np.exp(other)).sum()),
    "term by term": lambda law, other: sum(math.exp(p) * (p - q) for p, q in zip(law, other, strict=True)),
}


def near_laws(seed: int) -> tuple[FloatArray, FloatArray]:
    """Two laws in logs that differ by rounding or by little, with rare outcomes, normalised up to rounding."""
    generator = np.random.default_rng(seed)
    exponents = generator.normal(size=generator.integers(2, 9)) * generator.choice([0.1, 3.0, 40.0])
    moved = exponents + generator.choice([0.0, 1e-17, 1e-12]) * generator.normal(size=len(exponents))
    return exponents - logsumexp(exponents), moved - logsumexp(moved)


@pytest.mark.parametrize("formula", DIVERGENCES)
def test_no_right_formula_of_the_divergence_is_below_the_least(formula: str) -> None:
    found = [(DIVERGENCES[formula](*laws), least_divergence(*laws)) for laws in map(near_laws, range(3000))]
    assert all(divergence >= least for divergence, least in found)
    assert sum(divergence < 0.0 for divergence, _ in found) > 20  # which 0 as the bound would accuse


def test_the_true_divergence_of_rounded_laws_is_not_below_the_least_and_a_wrong_one_is() -> None:
    wrong = 0
    for seed in range(300):
        law, other = near_laws(seed)
        with localcontext(Context(prec=60)):
            pairs = [(Decimal(float(p)), Decimal(float(q))) for p, q in zip(law, other, strict=True)]
            true = sum((p.exp() * (p - q) for p, q in pairs), Decimal(0))
        least = least_divergence(law, other)
        assert true >= Decimal(least)
        assert -1e-12 < least <= 0.0
        wrong += float(np.sum(law - other)) < least  # without the outer probability
    assert wrong > 30
