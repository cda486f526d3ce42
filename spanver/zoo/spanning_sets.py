"""Mutants of barycentric spanners and of lists that cover a set: what B1-B3 must kill.

`swapped_members` is the algorithm of Awerbuch and Kleinberg: each step in which a mutant differs is an argument.
Unmutated it is as right as the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray
from spanver.zoo.algebra import inverse, quadratic
from spanver.zoo.mutant import Mutant, mutants_of


def greedy_start(vectors: FloatArray, rank: int) -> list[int]:
    """Choose members one by one, each as far as possible from the span of those before."""
    chosen: list[int] = []
    left = vectors
    for _ in range(rank):
        lengths = np.linalg.norm(left, axis=1)
        chosen.append(int(np.argmax(lengths)))
        direction = left[chosen[-1]] / lengths[chosen[-1]]
        left = left - np.outer(left @ direction, direction)
    return chosen


def independent_start(vectors: FloatArray, rank: int) -> list[int]:
    """Choose the first members that are independent."""
    chosen: list[int] = []
    for member in range(len(vectors)):
        if len(chosen) < rank and np.linalg.matrix_rank(vectors[[*chosen, member]]) > len(chosen):
            chosen.append(member)
    return chosen


def largest_start(vectors: FloatArray, rank: int) -> list[int]:
    """Put in the place of one unit vector after another the member of the largest coefficient."""
    basis = np.eye(rank)
    chosen: list[int] = []
    for place in range(rank):
        chosen.append(int(np.argmax(np.abs(np.linalg.solve(basis.T, vectors.T)[place]))))
        basis[place] = vectors[chosen[-1]]
    return chosen


def determinants(vectors: FloatArray, chosen: Sequence[int], place: int) -> FloatArray:
    """Determinants after each member took this place, shape (n,)."""
    return np.array([np.linalg.det(vectors[[*chosen[:place], m, *chosen[place + 1 :]]]) for m in range(len(vectors))])


def volumes(vectors: FloatArray, chosen: Sequence[int], place: int) -> FloatArray:
    """Absolute determinants after each member took this place, shape (n,)."""
    return np.abs(determinants(vectors, chosen, place))


def in_span(vectors: FloatArray, smallest: float = 1e-12) -> FloatArray:
    """Coordinates in an orthonormal basis of the span."""
    _, values, basis = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(vectors @ basis[values > smallest * values[0]].T)


def swapped_members(
    vectors: FloatArray,
    approximation: float,
    *,
    start: Callable[[FloatArray, int], list[int]] = independent_start,
    volume: Callable[[FloatArray, Sequence[int], int], FloatArray] = volumes,
    factor: Callable[[float], float] = lambda approximation: approximation,
    following: Callable[[int], int] = lambda _: 0,
    most_swaps: int = 1000,
    smallest: float = 1e-12,
) -> list[int]:
    """Awerbuch and Kleinberg: swap while a swap raises the volume, place after place, from the beginning each time."""
    coordinates = in_span(vectors, smallest)
    rank = coordinates.shape[1]
    chosen = start(coordinates, rank)
    place, swaps = 0, 0
    while place < rank and swaps < most_swaps:
        after = volume(coordinates, chosen, place)
        best = int(np.argmax(after))
        if after[best] > factor(approximation) * after[chosen[place]]:
            chosen[place] = best
            swaps += 1
            place = following(place)
        else:
            place += 1
    return chosen


def _stale_volume(vectors: FloatArray, approximation: float) -> list[int]:
    coordinates = in_span(vectors)
    chosen = independent_start(coordinates, coordinates.shape[1])
    reference = abs(np.linalg.det(coordinates[chosen]))
    for _ in range(3):
        for place in range(len(chosen)):
            after = volumes(coordinates, chosen, place)
            better = np.flatnonzero(after > approximation * reference)
            if len(better) > 0:
                chosen[place] = int(better[0])
    return chosen


def _log_volumes(vectors: FloatArray, chosen: Sequence[int], place: int) -> FloatArray:
    return np.log(np.maximum(volumes(vectors, chosen, place), 1e-300))


def _identity_for_singular(vectors: FloatArray, approximation: float) -> list[int]:
    chosen = list(range(vectors.shape[1]))
    for _ in range(100):
        members = vectors[chosen]
        singular = abs(np.linalg.det(members)) < 1e-12
        coefficients = np.abs(vectors @ (np.eye(len(chosen)) if singular else inverse(members)))
        member, place = np.unravel_index(int(np.argmax(coefficients)), coefficients.shape)
        if coefficients[member, place] <= approximation:
            break
        chosen[int(place)] = int(member)
    return chosen


def covering(
    vectors: FloatArray,
    ridge: float,
    nu: float,
    *,
    start: Callable[[float], float] = lambda ridge: ridge,
    power: float = 0.5,
    grow: Callable[[FloatArray], FloatArray] = lambda vector: np.outer(vector, vector),
    judged: Callable[[int, list[int]], list[int]] = lambda count, _: list(range(count)),
) -> list[int]:
    """Choose the longest of the judged members until none is above the threshold."""
    sigma = start(ridge) * np.eye(vectors.shape[1])
    chosen: list[int] = []
    while judged(len(vectors), chosen):
        members = judged(len(vectors), chosen)
        lengths = quadratic(vectors[members], inverse(sigma)) ** power
        longest = int(np.argmax(lengths))
        if lengths[longest] <= nu or len(chosen) == 10_000:
            break
        chosen.append(members[longest])
        sigma = sigma + grow(vectors[chosen[-1]])
    return chosen


_barycentric = mutants_of("barycentric_spanner", "barycentric", swapped_members)
_barycentric_of_105 = mutants_of(
    "barycentric_spanner", "barycentric", swapped_members, replace(reference, approximation=1.05)
)
_covering = mutants_of("covering_list", "covering", covering)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _barycentric("stale-volume", "compares swaps with the volume before all swaps", "B1 B2", _stale_volume),
    _barycentric("signed", "compares signed determinants", "B1 B2", volume=determinants),
    _barycentric("skips-place-0", "goes back to place 1 after a swap, not to place 0", "B1 B2", following=lambda _: 1),
    _barycentric("capped", "stops after one swap and returns what it has", "B1 B2", most_swaps=1),
    _barycentric_of_105("one-pass", "swaps in every place once", "B1",
        start=largest_start, following=lambda place: place + 1),
    _barycentric("log-times-c", "compares log-volumes by a factor C", "B1 B2", volume=_log_volumes),
    _barycentric("identity-for-singular", "takes the identity where members are dependent", "B1 B2",
        _identity_for_singular),
    _barycentric("greedy", "returns the greedy start without swaps", "B1 B2", start=greedy_start, most_swaps=0),
    _barycentric("c-squared", "swaps at C squared only", "B2", factor=lambda c: c * c),
    _barycentric("low-rank", "leaves out short directions", "B1 B2", smallest=0.4),
    _barycentric("counted-from-1", "counts members from 1", "B1 B2",
        lambda v, c: [member + 1 for member in swapped_members(v, c)]),
    _covering("one-early", "stops one member early", "B3", lambda v, ridge, nu: covering(v, ridge, nu)[:-1]),
    _covering("chosen-ignored", "never looks again at members that were chosen", "B3",
        judged=lambda count, chosen: [m for m in range(count) if m not in chosen]),
    _covering("no-ridge", "takes the ridge for 1", "B3", start=lambda _: 1.0),
    _covering("squared", "compares squared norms with nu", "B3", power=1.0),
    _covering("updated-twice", "adds each member twice", "B3", grow=lambda v: 2.0 * np.outer(v, v)),
)
"""Of `barycentric_spanner` and `covering_list`."""
