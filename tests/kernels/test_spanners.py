"""Spanners accept what explicit inverses accept, swap until no coefficient is large, and cover."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from kernel_cases import FREE, Array, Place, close, generator, norm_by_inverse

from spanver import kernels


def test_lists_are_chosen_alike_on_every_backend(backend: Place) -> None:
    vectors = generator(5).normal(size=(9, 3))
    given = backend.put(vectors)
    assert kernels.barycentric_spanner(given, 1.5) == kernels.barycentric_spanner(vectors, 1.5)
    assert kernels.covering_list(given, 1.0, 0.6) == kernels.covering_list(vectors, 1.0, 0.6)


def test_a_barycentric_spanner_swaps_until_no_coefficient_is_above_the_approximation() -> None:
    for seed in range(200):
        vectors = generator(seed).normal(size=(12, 3))
        chosen = kernels.barycentric_spanner(vectors, 1.05)
        coefficients = np.linalg.solve(vectors[chosen].T, vectors.T)
        assert np.abs(coefficients).max() <= 1.05 * (1 + 1e-12)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_barycentric_spanner_of_a_deficient_set_has_as_many_members_as_its_rank(rank: int) -> None:
    rng = generator(3)
    vectors = rng.normal(size=(6, rank)) @ rng.normal(size=(rank, 3))
    chosen = kernels.barycentric_spanner(vectors, 2.0)
    assert len(chosen) == rank
    coefficients = np.linalg.lstsq(vectors[chosen].T, vectors.T, rcond=None)[0] if rank else np.zeros((0, 6))
    assert np.allclose(vectors[chosen].T @ coefficients, vectors.T)
    assert np.abs(coefficients).max(initial=0.0) <= 2.0 + 1e-9


def test_a_covering_list_leaves_no_norm_above_nu_and_is_no_longer_than_a_spanner_may_be() -> None:
    vectors = generator(4).uniform(-0.5, 0.5, size=(40, 3))
    chosen = kernels.covering_list(vectors, 0.5, 0.4)
    sigma = 0.5 * np.eye(3) + vectors[chosen].T @ vectors[chosen]
    norms = np.sqrt(np.einsum("ij,ij->i", vectors @ np.linalg.inv(sigma), vectors))
    assert norms.max() <= 0.4
    for length in range(len(chosen)):
        shorter = 0.5 * np.eye(3) + vectors[chosen[:length]].T @ vectors[chosen[:length]]
        assert np.einsum("ij,ij->i", vectors @ np.linalg.inv(shorter), vectors).max() > 0.4**2


def scan_by_inverses(pairs: Array, ridge: float, nu: float) -> tuple[list[int], Array, Array]:
    sigma = ridge * np.eye(pairs.shape[2])
    accepted, norms = [], np.empty(pairs.shape[:2])
    for prompt, tried in enumerate(pairs):
        norms[prompt] = [norm_by_inverse(vector, sigma) for vector in tried]
        first = next((index for index, norm in enumerate(norms[prompt]) if norm > nu), -1)
        accepted.append(first)
        if first >= 0:
            sigma = sigma + np.outer(tried[first], tried[first])
    return accepted, norms, sigma


@pytest.mark.parametrize(("ridge", "nu"), [(1.0, 0.3), (0.1, 0.8), (2.5, 1.2), (1e-4, 0.5), (1.0, 100.0)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (30, 4, 2), (60, 3, 6), (12, 1, 9)])
def test_the_scan_accepts_what_explicit_inverses_accept(
    backend: Place, shape: tuple[int, int, int], ridge: float, nu: float
) -> None:
    pairs = generator(18, *shape).normal(size=shape)
    accepted, norms, sigma = scan_by_inverses(pairs, ridge, nu)
    assert float(np.abs(norms / nu - 1.0).min()) > FREE  # no ties: the picks are the only right ones
    scan = kernels.spanner_trace(backend.put(pairs), ridge, nu)
    assert backend.get(scan.accepted).tolist() == accepted
    assert backend.get(scan.accepted).dtype == np.int64
    close(backend.get(scan.norms), norms, 1e-11)
    close(backend.get(scan.sigma), sigma, 1e-14)
    assert isinstance(scan.log_det, float)
    assert scan.log_det == pytest.approx(np.linalg.slogdet(sigma)[1], abs=1e-11)


def test_a_scan_cannot_be_written_to_and_equals_itself_alone() -> None:
    one, two = (kernels.spanner_trace(np.ones((2, 1, 2)), 1.0, 0.5) for _ in range(2))
    with pytest.raises(FrozenInstanceError):
        one.log_det = 0.0  # type: ignore[misc]
    assert one == one  # noqa: PLR0124 - arrays cannot be compared by a single truth, so scans are not
    assert one != two
    assert len({one, two}) == 2


def test_the_scan_picks_the_same_pairs_on_every_backend(backend: Place) -> None:
    pairs = np.round(generator(19).normal(size=(300, 6, 8)) * 4.0) / 4.0  # coarse, so that equal vectors come up
    pairs[::7, 2:] = pairs[::7, :1]
    plain = kernels.spanner_trace(pairs, 1.0, 0.35)
    scan = kernels.spanner_trace(backend.put(pairs), 1.0, 0.35)
    picked = backend.get(scan.accepted)
    assert picked.tobytes() == plain.accepted.tobytes()
    assert (picked == -1).any()
    assert len(set(picked.tolist())) >= 4


def test_a_pair_at_exactly_nu_is_not_accepted(backend: Place) -> None:
    pairs = np.array([[[3.0, 4.0], [0.0, 5.0], [6.0, 8.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    scan = kernels.spanner_trace(backend.put(pairs), 4.0, 2.5)
    assert backend.get(scan.accepted).tolist() == [2, -1]
    assert backend.get(scan.norms)[0].tolist() == [2.5, 2.5, 5.0]


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2)])
def test_a_scan_of_nothing_accepts_nothing(backend: Place, shape: tuple[int, int, int]) -> None:
    scan = kernels.spanner_trace(backend.put(np.zeros(shape)), 2.0, 0.5)
    assert backend.get(scan.accepted).tolist() == [-1] * shape[0]
    assert backend.get(scan.norms).shape == shape[:2]
    assert backend.get(scan.sigma).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert scan.log_det == pytest.approx(2.0 * math.log(2.0), rel=1e-15)
