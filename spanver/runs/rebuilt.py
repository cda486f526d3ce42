"""What `certify` finds where the plan of a record builds its problem again: facts, features, rewards and coverage.

Numbers of a record may be off those found here by the rounding of both: `spanver.runs.objectives` says how far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from spanver.guarantees.identities import log_coverage_bound
from spanver.guarantees.rounding import gamma
from spanver.parameter_sets import shape_name
from spanver.problems.catalogue import FAMILIES, LAYERED_FAMILIES, layers_of
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.runs.costs import Findings
from spanver.runs.gaps import gap_findings, recomputed_policy, table_of
from spanver.runs.layer_gaps import layered_checks
from spanver.runs.objectives import differing_log
from spanver.runs.plans import Plan
from spanver.runs.records import LayeredRun, Record, Sampled
from spanver.validation import ROUNDING
from spanver.values import FloatArray, IntArray

Problem: TypeAlias = TabularProblem | LayeredMDP
Check: TypeAlias = Callable[[Record, Any], Findings]

_TEXT = "embeddings are computed in single precision, and no bound on their rounding is known"
_FACTS = ("name", "dimension", "beta", "radius", "reward_range")
_FURTHER_FACTS = ("prompts", "responses", "horizon", "actions", "anchor")  # stated by some kinds of record


def rebuild(plan: Plan) -> Problem | str:
    """Build the problem of a plan again, or say why it is not built.

    Raises
    ------
    ArgumentError, TypeError
        If the family refuses the parameters of the plan.
    """
    if plan.problem == "text":
        return _TEXT
    families: Mapping[str, Any] = LAYERED_FAMILIES if plan.learner == "mtss" else FAMILIES
    if plan.problem not in families:
        return f"'{plan.problem}' is no family that a plan can build"
    built = families[plan.problem].build(**plan.parameters)
    problem: Problem = layers_of(built) if plan.learner == "mtss" else built
    return problem


def problem_checks(record: Record, problem: Problem) -> tuple[Mapping[str, Check], str]:
    """What compares a record with its problem, by the id of the row; and why its gaps are not compared, or nothing."""
    if next(_differing_facts(record, problem), None) is not None:
        return {"problem": _facts_and_pairs}, ""  # with numbers of another problem there is nothing to compare
    if isinstance(record.did, LayeredRun):
        assert isinstance(problem, LayeredMDP)
        layered, ties = layered_checks(record, record.did, problem)
        return {"problem": _facts_and_pairs, **layered}, ties
    assert isinstance(problem, TabularProblem)
    further = dict[str, Check]()
    if isinstance(record.did, Sampled) and record.plan.settings.anchor == "fixed":
        further = {"P2": _anchors}
    policy = recomputed_policy(record, problem)
    compared = {} if policy.ties else {"I2": partial(gap_findings, policy)}
    return {"problem": _facts_and_pairs, **compared, "I3": _coverage, **further}, policy.ties


# Facts and pairs


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs that a record names, and the tables that their names stand in.

    Attributes
    ----------
    where : str
    rows, first, second : sequence, length n
        Row of each pair in the tables, and its two responses.
    vectors : array, shape (n, d)
    features : array, shape (R, Y, d)
    targets : array, shape (n,)
        Not read without rewards.
    rewards : array, shape (R, Y, k), or None
        The possible answers to a query; None where a target is no difference of two.
    """

    where: str
    rows: Sequence[Any] | IntArray
    first: Sequence[Any] | IntArray
    second: Sequence[Any] | IntArray
    vectors: FloatArray
    features: FloatArray
    targets: FloatArray = field(default_factory=lambda: np.empty(0))
    rewards: FloatArray | None = None


def _facts_and_pairs(record: Record, problem: Problem) -> Findings:
    differing = list(_differing_facts(record, problem))
    yield from differing
    named = 0
    for pairs in () if differing else _named_pairs(record, problem):
        named += len(pairs.vectors)
        yield from _differing_pairs(pairs)
    of_pairs = f", and features of {named} pairs are those of their responses" if named else ""
    return f"the plan builds a problem with the facts stated{of_pairs}"


def _differing_facts(record: Record, problem: Problem) -> Iterator[str]:
    stated = record.summary["problem"]
    for name in (*_FACTS, *(name for name in _FURTHER_FACTS if name in stated)):
        one, other = stated.get(name), getattr(problem, name)
        if one != other:
            yield f"the record states {name} {one}, but its plan builds a problem of {other}"
    if isinstance(record.did, LayeredRun) and stated["rewarded"] != list(getattr(problem, "rewarded", ())):
        yield f"the record states rewards in layers {stated['rewarded']}, but its plan builds a problem of others"
    if stated["shape"] != shape_name(problem.shape):
        yield f"the record states parameters in {record.parameters}, but its plan builds a problem of another shape"
    if record.plan.parameters != problem.parameters:
        yield f"the plan has parameters {record.plan.parameters}, but builds a problem of {dict(problem.parameters)}"


def _named_pairs(record: Record, problem: Problem) -> Iterator[_Pairs]:
    """Pairs of a record; those of a baseline have no names."""
    if isinstance(record.did, Sampled):
        assert isinstance(problem, TabularProblem)
        ends = [problem.reward_low, problem.reward_low + problem.reward_range] if problem.noise > 0.0 else []
        rewards = np.stack([problem.reward, *(np.broadcast_to(end[:, None], problem.reward.shape) for end in ends)], -1)
        possible = rewards if record.plan.settings.feedback == "reward" else None
        trace = record.did.trace
        for where, part in (("spanner", trace.spanner), ("exploration", trace.exploration)):
            names = part.prompts, part.first, part.second
            yield _Pairs(where, *names, part.vectors, problem.features, part.targets, possible)
    elif isinstance(record.did, LayeredRun):
        assert isinstance(problem, LayeredMDP)
        for layer, (core, features) in enumerate(zip(record.did.run.cores, problem.features, strict=True), start=1):
            yield _Pairs(f"layer {layer}", core.states, core.actions, core.anchors, core.vectors, features)


def _differing_pairs(pairs: _Pairs) -> Iterator[str]:
    """Pairs whose features, or differences of rewards, are none of the problem."""
    rows, first, second = (np.array(column) for column in (pairs.rows, pairs.first, pairs.second))
    count, responses, dimension = pairs.features.shape
    if len(rows) == 0:
        return
    if any(column.dtype.kind != "i" for column in (rows, first, second)):
        yield f"{pairs.where}: pairs have names that are no indices of a table"
        return
    known = (rows >= 0) & (rows < count)
    for column in (first, second):
        known &= (column >= 0) & (column < responses)
    if not known.all():
        yield f"{pairs.where} pair {int(np.argmin(known))} is none of the problem"
        return
    # Entries of features are at most 1; each machine reaches them in some d + 16 roundings.
    off = np.abs(pairs.vectors - (pairs.features[rows, first] - pairs.features[rows, second])).max(axis=1)
    for index in np.flatnonzero(off > 4.0 * gamma(dimension + 16)):
        yield f"the relative feature of {pairs.where} pair {index} is off that of its responses by {off[index]:.3g}"
    if pairs.rewards is None:
        return
    answers = pairs.rewards[rows, first][:, :, None] - pairs.rewards[rows, second][:, None, :]
    off = np.abs(pairs.targets[:, None, None] - answers).min(axis=(1, 2))
    largest = 4.0 * gamma(dimension + 16) * 2.0 * float(np.abs(pairs.rewards).max())
    for index in np.flatnonzero(off > largest):
        yield f"no two rewards of {pairs.where} pair {index} differ by {pairs.targets[index]:.6g}"


def _anchors(record: Record, problem: TabularProblem) -> Findings:
    """P2: the second response of every pair is the anchor of its prompt."""
    assert isinstance(record.did, Sampled)
    trace, named = record.did.trace, 0
    for where, part in (("spanner", trace.spanner), ("exploration", trace.exploration)):
        named += len(part.second)
        for index, (prompt, second) in enumerate(zip(part.prompts, part.second, strict=True)):
            if not (prompt in range(problem.prompts) and second == problem.anchors[int(prompt)]):
                yield f"the second response of {where} pair {index} is {second!r}, no anchor of prompt {prompt!r}"
    return f"the second responses of {named} pairs are the anchors of their prompts"


# Coverage


def _coverage(record: Record, problem: TabularProblem) -> Findings:
    """I3: the coverage of the optimum is that of the problem, and in its range."""
    table, roundings = table_of(problem)
    found = float(table.log_coverage[problem.prompt_law > 0.0].max())
    stated = record.summary["problem"]["coverage"]
    yield from differing_log("coverage", stated, found, 2.0 * gamma(roundings) * float(table.size.max()))
    most = log_coverage_bound(problem.reward_range, problem.beta)
    if not -ROUNDING <= found <= most + ROUNDING * max(1.0, most):
        yield f"the log of the coverage is {found:.6g}, but lies from 0 to R_max/beta = {most:.6g}"
    return f"the coverage of the optimum is {stated:.6g}, in its range"
