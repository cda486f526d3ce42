"""What `certify` finds where the plan of a run of MTSS builds its problem again: gaps, the certificate, coverage.

Values are those of the recursion of A4, laws are probabilities, and every divergence is a difference of two objectives
at a state, with the bound on its rounding of `spanver.runs.objectives`. Values are right to as many roundings more as
there are layers after them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spanver.guarantees.identities import log_sequence_coverage
from spanver.guarantees.rounding import gamma
from spanver.problems.layered import LayeredMDP
from spanver.runs.costs import Findings
from spanver.runs.objectives import Bounded, Objective, covered_pairs, differing_log, law_given_second, objective
from spanver.runs.records import LayeredRun, Record
from spanver.runs.results import paper_cost
from spanver.validation import ROUNDING
from spanver.values import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class _Solved:
    """A process of layers and its optimum.

    Attributes
    ----------
    problem : LayeredMDP
    values : tuple of H arrays, of shapes (S_h, A)
        `Q*_h`.
    tables : tuple of H Objective
        Of every state with the rewards `Q*_h`.
    roundings : int
        On the way to a log probability.
    """

    problem: LayeredMDP
    values: tuple[FloatArray, ...]
    tables: tuple[Objective, ...]
    roundings: int

    @property
    def optimum(self) -> list[FloatArray]:
        """Probabilities of `pi*`: H arrays of shapes (S_h, A)."""
        return [
            np.exp(table.log_base + table.reward / table.beta - table.log_partition[:, None]) for table in self.tables
        ]


def solved(problem: LayeredMDP) -> _Solved:
    """Solve a process of layers, last layer first."""
    values: list[FloatArray] = []
    tables: list[Objective] = []
    for layer in reversed(range(problem.horizon)):
        q = problem.rewards[layer]
        if values:
            top = np.max(values[0], axis=1, where=problem.log_base[layer + 1] > -np.inf, initial=-np.inf)
            q = q + problem.expected(layer, top + problem.beta * tables[0].log_partition)
        values.insert(0, q)
        tables.insert(0, _objective(problem, layer, problem.log_base[layer], q))
    size = max(float(table.size.max()) for table in tables)  # values of a state are means of those of later ones
    tables = [replace(table, size=np.full_like(table.size, size)) for table in tables]
    widest = max((law.shape[2] for law in problem.transitions), default=1)
    each = 4 * problem.dimension + 2 * problem.actions + 2 * widest + 64
    return _Solved(problem, tuple(values), tuple(tables), problem.horizon * each)


def _objective(problem: LayeredMDP, layer: int, log_base: FloatArray, reward: FloatArray) -> Objective:
    rows = np.full(len(log_base), 1.0 / len(log_base))
    return objective(rows, log_base, reward, beta=problem.beta, largest_score=problem.radius)


@dataclass(frozen=True, eq=False)
class _Policy:
    """The policy of a record: per layer the laws given each anchor, and what is covered; arrays of shape (S_h, K, A).

    Attributes
    ----------
    anchors : tuple of H integer arrays, of shapes (S_h, K)
    weights : tuple of H arrays, of shapes (S_h, K)
        Probabilities of the anchors.
    covered, laws : tuple of H arrays
    """

    anchors: tuple[IntArray, ...]
    weights: tuple[FloatArray, ...]
    covered: tuple[NDArray[np.bool_], ...]
    laws: tuple[FloatArray, ...]

    def mixed(self, layer: int) -> FloatArray:
        """Law of a layer, shape (S_h, A)."""
        law: FloatArray = np.einsum("sk,ska->sa", self.weights[layer], self.laws[layer])
        return law


def _policy(did: LayeredRun, problem: LayeredMDP) -> tuple[_Policy, str]:
    """The policy of a record, and why its gap cannot be compared, or nothing."""
    run, settings = did.run, did.run.settings
    returned, tied = run.iterations[_returned(did) - 1], 0
    columns: list[tuple[IntArray, FloatArray, NDArray[np.bool_], FloatArray]] = []
    for layer, (log_base, features) in enumerate(zip(problem.log_base, problem.features, strict=True)):
        if settings.anchor == "fresh":
            anchors = np.broadcast_to(np.arange(problem.actions), log_base.shape)
            weights = np.exp(log_base)
        else:
            anchors, weights = np.full((len(log_base), 1), run.anchor), np.ones((len(log_base), 1))
        vectors = run.cores[layer].vectors[: returned.sizes[layer]]
        sigma = settings.ridge * np.eye(problem.dimension) + vectors.T @ vectors
        points = np.take_along_axis(features, anchors[:, :, None], axis=1)
        covered, near = covered_pairs(features, points, sigma, settings.nu)
        tied += int((near & (log_base > -np.inf)[:, None] & (weights > 0.0)[:, :, None]).sum())
        scores = features @ returned.thetas[layer]
        seconds = np.take_along_axis(scores, anchors, axis=1)
        columns.append((anchors, weights, covered, law_given_second(log_base, scores, seconds, covered, problem.beta)))
    ties = f"the norms of {tied} actions are within rounding of nu" if tied else ""
    return _Policy(*(tuple(column) for column in zip(*columns, strict=True))), ties


def _returned(did: LayeredRun) -> int:
    """Number of the iteration that is returned, from 1."""
    most = did.run.settings.tolerance
    certain = [n for n, each in enumerate(did.run.iterations, start=1) if each.fitted and each.largest.max() <= most]
    return max(certain, default=1)


def layered_checks(record: Record, did: LayeredRun, problem: LayeredMDP) -> tuple[dict[str, partial[Findings]], str]:
    """What compares a record with its problem, by the id of the row; and why its gaps are not compared, or nothing."""
    policy, ties = _policy(did, problem)
    optimum = solved(problem)
    compared = (
        {} if ties else {"MT2": partial(_gaps, optimum, policy), "certificate": partial(_certificate, optimum, policy)}
    )
    return {**compared, "I6": partial(_coverage, optimum)}, ties


# Gaps


def _occupied(solution: _Solved, laws: list[FloatArray]) -> Iterator[tuple[int, FloatArray, float]]:
    """Layers, probabilities of their states, and how far all of them together may be off."""
    problem, off = solution.problem, 0.0
    masses = problem.initial_law
    for layer, (law, table) in enumerate(zip(laws, solution.tables, strict=True)):
        yield layer, masses, off
        flow = masses[:, None] * law
        logs = np.abs(np.log(law, out=np.zeros_like(law), where=law > 0.0))
        off += float((flow * np.expm1(gamma(solution.roundings) * (table.size[:, None] + logs))).sum())
        if layer + 1 < len(laws):
            masses = problem.reached(layer, flow)


def _gap(solution: _Solved, laws: list[FloatArray]) -> Bounded:
    """Gap of a policy: divergences from the optimum at the states that it meets (MT2)."""
    value = bound = 0.0
    for layer, masses, off in _occupied(solution, laws):
        here = solution.tables[layer].gaps(laws[layer], np.arange(len(masses)), roundings=solution.roundings)
        value += float(masses @ here.values)
        bound += float(masses @ here.bounds) + 2.0 * off * float(np.abs(here.values).max())
    return Bounded.single(value, bound)


def _gaps(solution: _Solved, policy: _Policy, record: Record, problem: LayeredMDP) -> Findings:
    """MT2: the gaps that a record states are divergences from the optimum along the policy."""
    base = [np.exp(log_base) for log_base in problem.log_base]
    laws = [policy.mixed(layer) for layer in range(problem.horizon)]
    worst = 0.0
    for name, found in (("base_gap", _gap(solution, base)), ("gap", _gap(solution, laws))):
        stated = np.array([record.summary[name]])
        worst = max(worst, float(np.abs(stated - found.values)[0]))
        if len(found.off(stated)):
            yield f"{name} is {stated[0]:.9g}, but that of the policy is {found.values[0]:.9g}"
    return f"2 gaps are divergences from the optimum, layer by layer, to {worst:.1g}"


def _certificate(solution: _Solved, policy: _Policy, record: Record, problem: LayeredMDP) -> Findings:
    """The parts of the bound on the gap are those of the policy, and the gap is not above their sum."""
    stated = {name: np.array(parts) for name, parts in record.summary["gap_bound"].items()}
    values = {name: np.zeros(problem.horizon) for name in stated}
    bounds = {name: np.zeros(problem.horizon) for name in stated}
    laws = [policy.mixed(layer) for layer in range(problem.horizon)]
    for layer, masses, off in _occupied(solution, laws):
        for name, here in _parts(solution, policy, layer).items():
            values[name][layer] = masses @ here.values
            bounds[name][layer] = masses @ here.bounds + 2.0 * off * np.abs(here.values).max()
    for name, numbers in stated.items():
        for layer in Bounded(values[name], bounds[name]).off(numbers):
            stating = f"the part '{name}' of layer {layer + 1} is {numbers[layer]:.9g}"
            yield f"{stating}, but that of the policy is {values[name][layer]:.9g}"
    gap, total = record.summary["gap"], float(sum(numbers.sum() for numbers in stated.values()))
    rounding = sum(float(each.sum()) for each in bounds.values()) + float(_gap(solution, laws).bounds[0])
    if not gap <= total + rounding:
        yield f"the gap is {gap:.9g}, above the bound {total:.9g}"
    paper = paper_cost(problem)["ledger"]
    for kind, count in record.summary["paper"]["ledger"].items():
        if not math.isclose(count, paper[kind], rel_tol=ROUNDING):
            yield f"the record states {count} {kind} of the paper's settings, but they would ask for {paper[kind]}"
    return f"the gap {gap:.6g} is at most {total:.6g}, the sum of its parts"


def _parts(solution: _Solved, policy: _Policy, layer: int) -> dict[str, Bounded]:
    """Parts of the bound at every state of a layer, means over its anchor."""
    problem, values, table = solution.problem, solution.values[layer], solution.tables[layer]
    weights, covered, laws = policy.weights[layer], policy.covered[layer], policy.laws[layer]
    relative = values[:, None] - np.take_along_axis(values, policy.anchors[layer], axis=1)[:, :, None]
    states, anchors, actions = laws.shape
    log_base = np.broadcast_to(table.log_base[:, None], laws.shape).reshape(-1, actions)
    truncated = _objective(problem, layer, log_base, np.where(covered, relative, 0.0).reshape(-1, actions))
    truncated = replace(truncated, size=np.full(len(log_base), float(table.size[0])))
    flat = np.arange(len(log_base))
    divergence = truncated.gaps(laws.reshape(-1, actions), flat, roundings=solution.roundings)
    found = {"divergence": [each.reshape(states, anchors) for each in (divergence.values, divergence.bounds)]}
    optimum = np.broadcast_to(solution.optimum[layer][:, None], laws.shape)
    for name, law, sign in (("missed", optimum, 1.0), ("taken", laws, -1.0)):
        uncovered = np.where(covered, 0.0, law)
        logs = np.abs(np.log(law, out=np.zeros_like(law), where=law > 0.0))
        off = np.expm1(gamma(solution.roundings) * (table.size[:, None, None] + logs))
        scale = np.abs(relative) + problem.beta * table.size[:, None, None]
        found[name] = [sign * (uncovered * relative).sum(axis=2), 2.0 * (uncovered * scale * off).sum(axis=2)]
    return {name: Bounded(*(np.einsum("sk,sk->s", weights, each) for each in both)) for name, both in found.items()}


# Coverage


def _coverage(solution: _Solved, record: Record, problem: LayeredMDP) -> Findings:
    """I6: the coverage of an action is that of the problem, and bounds that of a trajectory, which is so too."""
    bound = 2.0 * gamma(solution.roundings) * problem.horizon * float(solution.tables[0].size[0])
    largest, trajectory = _log_coverages(solution)
    stated = {name: record.summary["problem"][name] for name in ("conditional_coverage", "coverage")}
    for name, found in (("conditional_coverage", largest), ("coverage", trajectory)):
        yield from differing_log(name, stated[name], found, bound)
    most = log_sequence_coverage(math.log(max(stated["conditional_coverage"], 1.0)), problem.horizon)
    if not math.log(stated["coverage"]) <= most + ROUNDING * max(1.0, most):
        yield f"the coverage of a trajectory is above C_cond^H = exp({most:.6g})"
    return f"the coverage of an action is {stated['conditional_coverage']:.6g}, of a trajectory at most C_cond^H"


def _log_coverages(solution: _Solved) -> tuple[float, float]:
    """`log C_cond` over states that the base policy reaches, and `log C(pi*)` over trajectories from these starts."""
    problem, tables = solution.problem, solution.tables
    reached, largest = problem.initial_law > 0.0, -math.inf
    for layer, table in enumerate(tables):
        largest = max(largest, float(table.log_coverage[reached].max()))
        if layer + 1 < len(tables):
            flow = (reached[:, None] & (table.log_base > -np.inf)).astype(np.float64)
            reached = problem.reached(layer, flow) > 0.0
    later = np.zeros(0)
    for layer in reversed(range(len(tables))):
        table = tables[layer]
        ratios = table.reward / table.beta - table.log_partition[:, None]
        if layer + 1 < len(tables):
            ratios = ratios + problem.largest(layer, later)
        later = np.max(ratios, axis=1, where=table.log_base > -np.inf, initial=-np.inf)
    return largest, float(later[problem.initial_law > 0.0].max())
