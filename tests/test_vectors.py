"""Every recorded reference value is reproduced through the public API, and every value that is recorded matters.

The values come from independent high-precision and brute-force computations of mathematics.md; none is our own output.
The folder is `SPANVER_VECTORS` when that is set, else `tests/vectors`. Each file has one check, a function of one case
that raises `AssertionError` unless the case holds. Tolerances are not chosen to fit: each is a bound on the rounding of
the computation in double precision, and says of which. The second half of the module shows that the checks have teeth:
it changes the values of a case one at a time, and each change must be caught.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln

from spanver import kernels
from spanver.errors import ArgumentError
from spanver.exact import layered as exact_layers
from spanver.exact import tabular as exact
from spanver.exact.samplers import sampler_law
from spanver.guarantees.exploration import confidence_radius
from spanver.guarantees.headline import needle_met_strong, needle_met_weak_exact
from spanver.guarantees.parameters import derived_parameters
from spanver.guarantees.sampler import sampler_trials
from spanver.guarantees.spanner import spanner_size_bound
from spanver.policies import LinearSoftmax
from spanver.problems.layered import soft_q
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem

Array = NDArray[np.float64]
Case = dict[str, Any]
Leaf = tuple[str | int, ...]  # where a value stands in a case

OWN_FOLDER = Path(__file__).parent / "vectors"
FOLDER = Path(os.environ.get("SPANVER_VECTORS") or OWN_FOLDER)

EPS = float(np.finfo(np.float64).eps)
LARGE_RADIUS = 1e6  # a radius is not recorded for policies: no parameter here leaves this ball


# ---------------------------------------------------------------------------------------------------------------------
# Reading: strict, so that nothing in a file is passed over.


def no_repetition(pairs: list[tuple[str, Any]]) -> Case:
    result = dict(pairs)
    assert len(result) == len(pairs), f"a key stands twice among {[key for key, _ in pairs]}"
    return result


def no_constant(name: str) -> float:
    message = f"{name} is no JSON number"
    raise AssertionError(message)


def read_cases(path: Path) -> list[Case]:
    document = json.loads(path.read_text("utf-8"), object_pairs_hook=no_repetition, parse_constant=no_constant)
    assert set(document) == {"about", "cases"}, f"{path.name} has {sorted(document)}"
    assert isinstance(document["about"], str)
    cases: list[Case] = document["cases"]
    assert len(cases) > 0, f"{path.name} has no cases"
    assert all(isinstance(case, dict) for case in cases)
    return cases


def number(value: Any) -> float:
    assert isinstance(value, int | float), f"{value!r} is no number"
    assert not isinstance(value, bool), f"{value!r} is no number"
    return float(value)


def integer(value: Any) -> int:
    assert isinstance(value, int), f"{value!r} is no integer"
    assert not isinstance(value, bool), f"{value!r} is no integer"
    return value


def array(value: Any, shape: tuple[int | None, ...], *, nullable: bool = False) -> Array:
    """Nested lists of numbers of a known shape (None: any length); null is minus infinity where that is a value."""

    def numbers(part: Any, horizon: int) -> Any:
        if horizon == len(shape):
            return -math.inf if nullable and part is None else number(part)
        assert isinstance(part, list), f"{part!r} is no list"
        return [numbers(element, horizon + 1) for element in part]

    try:
        result = np.array(numbers(value, 0), dtype=np.float64)
    except ValueError as ragged:
        raise AssertionError(str(ragged)) from ragged
    assert result.ndim == len(shape), f"{result.ndim} dimensions, not {len(shape)}"
    for length, expected in zip(result.shape, shape, strict=True):
        assert expected in {None, length}, f"shape {result.shape}, not {shape}"
    return result


def assert_close(what: str, ours: Any, recorded: Any, tolerance: float) -> None:
    """Equal shapes, the same infinities, and no difference above an absolute tolerance."""
    ours, recorded = np.asarray(ours, dtype=np.float64), np.asarray(recorded, dtype=np.float64)
    assert ours.shape == recorded.shape, f"{what}: shape {ours.shape}, recorded {recorded.shape}"
    np.testing.assert_allclose(ours, recorded, rtol=0.0, atol=tolerance, equal_nan=False, err_msg=what)


# ---------------------------------------------------------------------------------------------------------------------
# policy.json: laws, coverage, objective and gap (I1-I3).


def check_policy(case: Case) -> None:
    phi = array(case["phi"], (None, None, None))
    prompts, responses, dimension = phi.shape
    table = (prompts, responses)
    log_base = array(case["log_base"], table, nullable=True)
    theta = array(case["theta"], (dimension,))
    reward = array(case["reward"], table)
    beta = number(case["beta"])
    if isinstance(case["prompt_law"], str):
        assert case["prompt_law"] == "uniform", f"unknown prompt law {case['prompt_law']}"
        prompt_law = np.full(prompts, 1.0 / prompts)
    else:
        prompt_law = array(case["prompt_law"], (prompts,))
    problem = TabularProblem(prompt_law, log_base, phi, reward, beta, LARGE_RADIUS)

    # log pi = log pi_ref + (s - Z): some d + 4 roundings (inner product, quotient, sums, logarithm) of numbers that are
    # no larger than `scale`. So the absolute error of a log law, and of a log coverage, is proportional to it.
    largest_log_base = -float(log_base[log_base > -np.inf].min())
    largest_score = float((np.abs(phi) @ np.abs(theta)).max())
    largest_reward = float(np.abs(reward).max())
    unit = (dimension + 4) * EPS
    error_theta = unit * (1.0 + largest_log_base + largest_score / beta)
    error_star = unit * (1.0 + largest_log_base + largest_reward / beta)

    law_theta, law_star = exact.log_law(problem, LinearSoftmax(theta)), exact.log_optimal_law(problem)
    recorded_theta = array(case["log_pi_theta"], table, nullable=True)
    recorded_star = array(case["log_pi_star"], table, nullable=True)
    assert_close("log_pi_theta", law_theta, recorded_theta, error_theta)
    assert_close("log_pi_star", law_star, recorded_star, error_star)

    coverage_theta, coverage_star = exact.log_coverage(problem, law_theta), exact.log_coverage(problem, law_star)
    assert_close("log_coverage_theta", coverage_theta, array(case["log_coverage_theta"], (prompts,)), error_theta)
    assert_close("log_coverage_star", coverage_star, array(case["log_coverage_star"], (prompts,)), error_star)

    # An error e in log pi is a relative error e of each probability; beta log(pi/pi_ref) is at most twice the score.
    # At the base policy itself the divergence is exactly 0 and only the sum over responses rounds.
    rounding_theta = error_theta * (largest_reward + 2.0 * largest_score + beta)
    rounding_star = error_star * (3.0 * largest_reward + beta)
    at_base = exact.objective(problem, problem.log_base)
    at_theta, at_star = exact.objective(problem, law_theta), exact.objective(problem, law_star)
    objective_star = number(case["objective_star"])
    assert_close("objective_base", at_base, number(case["objective_base"]), (responses + 4) * EPS * largest_reward)
    assert_close("objective_theta", at_theta, number(case["objective_theta"]), rounding_theta)
    assert_close("objective_star", at_star, objective_star, rounding_star)
    assert_close("best_objective", exact.best_objective(problem), objective_star, rounding_star)

    # The derivative of KL(p || q) in log(q/p) is q - p, whose absolute values sum to at most sqrt(2 KL) (Pinsker): a
    # small gap keeps its digits.
    gap_theta = number(case["gap_theta"])
    divergence = max(gap_theta, 0.0) / beta
    error = error_theta + error_star
    gap_error = beta * error * (math.sqrt(2.0 * divergence) + divergence + error)
    assert_close("gap_theta", exact.gap(problem, law_theta), gap_theta, gap_error)


# ---------------------------------------------------------------------------------------------------------------------
# sampler.json: the law of one call of A1 (R3), its target and their distance.


def check_sampler(case: Case) -> None:
    base = array(case["base"], (None,))
    responses = len(base)
    f = array(case["f"], (responses,))
    beta, multiplier, delta = number(case["beta"]), number(case["multiplier"]), number(case["delta"])
    draws = sampler_trials(multiplier, delta)
    assert integer(case["n"]) == draws

    problem = TabularProblem(np.ones(1), np.log(base)[None], np.zeros((1, responses, 1)), f[None], beta, LARGE_RADIUS)
    log_target = exact.log_optimal_law(problem)
    target, coverage = np.exp(log_target[0]), float(np.exp(exact.log_coverage(problem, log_target)[0]))
    largest_log_base = float(np.abs(np.log(base)).max())
    recorded_coverage = number(case["coverage"])
    error = 5.0 * EPS * (1.0 + largest_log_base + float(np.abs(f).max()) / beta)  # as in check_policy, d = 1
    assert_close("target", target, array(case["target"], (responses,)), error)
    assert_close("coverage", coverage, recorded_coverage, error * recorded_coverage)

    # The probability of a pilot is the exponential of log factorials up to log N! and of N log probabilities, and the
    # chance that all trials fail is an N-th power: relative errors of EPS times those exponents.
    exponents = float(gammaln(draws + 1)) + draws * (largest_log_base + 1.0)
    relative = 4.0 * EPS * exponents
    ours = sampler_law(base, f, beta, multiplier, delta)
    fallback, trials = number(case["fallback_probability"]), number(case["expected_trials"])
    assert_close("law", ours.law, array(case["law"], (responses,)), relative)
    assert_close("fallback_probability", ours.fallback_probability, fallback, relative * fallback)
    assert_close("expected_trials", ours.expected_trials, trials, relative * trials)
    # A distance between two laws: rounded like the laws, whose sums are 1.
    assert_close("tv", 0.5 * np.abs(ours.law - target).sum(), number(case["tv"]), relative + error)


# ---------------------------------------------------------------------------------------------------------------------
# spanner.json: phase 1 on given pairs (S1-S3).


def check_spanner(case: Case) -> None:
    dimension = integer(case["dimension"])
    ridge, nu = number(case["lam"]), number(case["nu"])
    pairs = array(case["pairs"], (None, None, dimension))
    prompts = len(pairs)
    scan = kernels.spanner_trace(pairs, ridge, nu)

    assert isinstance(case["accepted"], list)
    accepted = [integer(index) for index in case["accepted"]]
    assert scan.accepted.tolist() == accepted

    # Norms are no larger than under the ridge alone, and W is a product of updates that each round in its d rows.
    unit = 8.0 * dimension * EPS
    longest = float(np.linalg.norm(pairs, axis=-1).max()) / math.sqrt(ridge)
    assert_close("norms", scan.norms, array(case["norms"], pairs.shape[:2]), unit * longest)
    # Sums of at most T + 1 terms of one sign on the diagonal, which bounds the rest.
    sigma = array(case["sigma"], (dimension, dimension))
    assert_close("sigma", scan.sigma, sigma, (prompts + 1) * EPS * float(np.abs(sigma).max()))
    log_det = number(case["log_det"])
    sums = prompts + dimension * abs(math.log(ridge)) + abs(log_det)
    assert_close("log_det", scan.log_det, log_det, unit * sums)


# ---------------------------------------------------------------------------------------------------------------------
# regression.json: least squares on the ball (E6).


def check_regression(case: Case) -> None:
    features = array(case["features"], (None, None))
    observations, dimension = features.shape
    targets = array(case["targets"], (observations,))
    radius, multiplier = number(case["radius"]), number(case["multiplier"])
    assert isinstance(case["unique"], bool)
    theta = kernels.fit(features, targets, radius)
    norm = float(np.linalg.norm(theta))
    assert theta.shape == (dimension,)

    unit = 8.0 * (observations + dimension) * EPS
    assert norm <= radius * (1.0 + unit)
    assert multiplier >= 0.0

    gram, moment = features.T @ features, features.T @ targets
    curvature = np.linalg.eigvalsh(gram)
    size = float(curvature[-1])
    fitted = math.sqrt(max(size, 0.0)) * norm + float(np.linalg.norm(targets))  # bounds every residual
    # The loss rounds like the squares it sums: a minimiser's own error enters it to second order only.
    assert_close("loss", ((features @ theta - targets) ** 2).sum(), number(case["loss"]), unit * fitted**2)

    # (A + mu I) theta = b: backward errors of A and b, amplified by the inverse of A + mu I.
    unique = multiplier > 0.0 or int(np.linalg.matrix_rank(features)) == dimension
    assert case["unique"] == unique
    gradient_error = unit * math.sqrt(max(size, 0.0)) * fitted
    theta_error = 0.0
    if unique:
        theta_error = gradient_error / (float(curvature[0]) + multiplier)
        assert_close("theta", theta, array(case["theta"], (dimension,)), theta_error)
    elif case["theta"] is not None:
        other = array(case["theta"], (dimension,))  # not ours, but a minimiser as well
        assert float(np.linalg.norm(other)) <= radius * (1.0 + unit)
        assert_close("loss of theta", ((features @ other - targets) ** 2).sum(), number(case["loss"]), unit * fitted**2)

    if norm < radius * (1.0 - 1e-9):
        assert multiplier == 0.0, "complementary slackness"
    else:
        ours = float(theta @ (moment - gram @ theta)) / norm**2
        assert_close("multiplier", ours, multiplier, (gradient_error + (2.0 * size + multiplier) * theta_error) / norm)


# ---------------------------------------------------------------------------------------------------------------------
# bounds.json: closed forms (S4, R1, E1, T1 and the derived parameters of A2).

# A dozen operations without cancellation (log1p, expm1), among them exponentials of exponents of order 10, whose
# relative error is EPS times the exponent.
CLOSED_FORM = 64.0 * EPS
COUNT_NOTE = "counts agree to a relative 1e-6 (the fixed point is discrete)"
COUNT_TOLERANCE = 1e-6

CLOSED_FORMS: dict[str, tuple[Callable[..., float], set[str]]] = {
    "spanner_size_bound": (spanner_size_bound, {"dimension", "lam", "nu"}),
    "sampler_trials": (sampler_trials, {"multiplier", "delta"}),
    "confidence_radius": (confidence_radius, {"lam", "radius", "reward_range", "delta", "log_det_ratio"}),
    "needle_met_strong": (needle_met_strong, {"samples", "rewards", "responses", "coverage", "beta", "dimension"}),
    "needle_met_weak_exact": (needle_met_weak_exact, {"samples", "rewards", "responses", "coverage"}),
}
COUNT_ARGUMENTS = {"dimension", "samples", "rewards", "responses"}
COUNT_VALUES = {"spanner_size_bound", "sampler_trials"}
DERIVED_ARGUMENTS = {"eps", "delta", "dimension", "beta", "radius", "reward_range", "coverage"}
DERIVED_COUNTS = {"spanner_size_bound", "exploration_rounds", "prompts", "pairs_per_prompt"}
DERIVED_REALS = {"lam", "gamma", "nu", "rejection_multiplier", "rejection_failure"}


def argument(case: Case, key: str) -> float:
    return integer(case[key]) if key in COUNT_ARGUMENTS else number(case[key])


def check_bounds(case: Case) -> None:
    quantity = case["quantity"]
    if quantity == "derived_parameters":
        check_derived(case)
        return
    function, keys = CLOSED_FORMS[quantity]
    ours = function(**{"ridge" if key == "lam" else key: argument(case, key) for key in keys})
    if quantity in COUNT_VALUES:
        assert ours == integer(case["value"])
    else:
        recorded = number(case["value"])
        assert_close(quantity, ours, recorded, CLOSED_FORM * abs(recorded))


def check_derived(case: Case) -> None:
    assert case["note"] == COUNT_NOTE
    ours = derived_parameters(**{key: argument(case, key) for key in DERIVED_ARGUMENTS})  # type: ignore[arg-type]
    for key in sorted(DERIVED_COUNTS):
        recorded = integer(case[key])
        assert_close(key, getattr(ours, key), recorded, COUNT_TOLERANCE * abs(recorded))
    # The reals are smooth functions of the counts: closed forms where those agree, as uncertain as they are elsewhere.
    agree = all(getattr(ours, key) == case[key] for key in DERIVED_COUNTS)
    for key in sorted(DERIVED_REALS):
        real = number(case[key])
        tolerance = CLOSED_FORM if agree else COUNT_TOLERANCE
        assert_close(key, getattr(ours, "ridge" if key == "lam" else key), real, tolerance * abs(real))


# ---------------------------------------------------------------------------------------------------------------------
# tokens.json: the soft recursion over tokens (A4; I6).


def prefixes(vocabulary_size: int, length: int) -> list[str]:
    """Prefixes of one length in the order of their rows; the recorded ones are written as digits."""
    return ["".join(map(str, tokens)) for tokens in itertools.product(range(vocabulary_size), repeat=length)]


def check_tokens(case: Case) -> None:
    horizon, vocabulary_size = integer(case["depth"]), integer(case["alphabet"])
    assert 1 <= horizon <= 8, horizon
    assert 1 <= vocabulary_size <= 8, vocabulary_size
    inner = [prefixes(vocabulary_size, length) for length in range(horizon)]
    extended = [prefixes(vocabulary_size, length + 1) for length in range(horizon)]
    for key, layers in (("base", inner), ("value", inner), ("policy", inner), ("features", extended), ("q", extended)):
        assert isinstance(case[key], dict), f"{key} is no object"
        assert set(case[key]) == {name for layer in layers for name in layer}, f"prefixes of {key}"
    assert isinstance(case["reward"], dict)
    assert set(case["reward"]) == set(extended[-1])
    assert isinstance(case["theta"], list)
    dimension = len(case["theta"][0])
    theta = array(case["theta"], (horizon, dimension))
    beta = number(case["beta"])
    table = (None, vocabulary_size)
    bases = [array([case["base"][name] for name in layer], table) for layer in inner]
    features = [array([case["features"][name] for name in layer], (None, dimension)) for layer in extended]
    problem = TokenProblem(
        prompt_law=np.ones(1),
        log_base=[np.log(base) for base in bases],
        features=[block.reshape(-1, vocabulary_size, dimension) for block in features],
        reward=array([[case["reward"][name] for name in extended[-1]]], (1, None)),
        beta=beta,
        radius=LARGE_RADIUS,
        theta_star=theta,
    )
    # As in check_policy, for each of the layers that a value is made of: exponents are at most `scale`.
    largest_reward = float(np.abs(problem.reward).max())
    scale = 1.0 + max(float(np.abs(log_base).max()) for log_base in problem.log_base) + largest_reward / beta
    error = 8.0 * horizon * EPS * scale  # absolute, of logarithms and of what is divided by beta
    q, values, law = soft_q(problem), exact_layers.soft_values(problem), exact_layers.log_optimal_law(problem)
    for layer in range(horizon):
        recorded_q = [case["q"][name] for name in extended[layer]]
        assert_close(f"q of layer {layer}", q[layer].reshape(-1), array(recorded_q, (None,)), beta * error)
        recorded_value = [case["value"][name] for name in inner[layer]]
        assert_close(f"value of layer {layer}", values[layer], array(recorded_value, (None,)), beta * error)
        recorded_policy = [case["policy"][name] for name in inner[layer]]
        assert_close(f"policy of layer {layer}", np.exp(law[layer]), array(recorded_policy, table), error)
    conditional, coverage = number(case["conditional_coverage"]), number(case["coverage"])
    ours = math.exp(exact_layers.log_conditional_coverage(problem, law))
    assert_close("conditional_coverage", ours, conditional, error * conditional)
    ours = math.exp(float(exact_layers.log_coverage(problem, law)[0]))
    assert_close("coverage", ours, coverage, error * coverage)
    objective_star = number(case["objective_star"])
    assert_close("best_objective", exact_layers.best_objective(problem), objective_star, beta * error)
    assert_close("objective_star", exact_layers.objective(problem, law), objective_star, 4.0 * beta * error * scale)


# ---------------------------------------------------------------------------------------------------------------------

POLICY_KEYS = {"phi", "log_base", "theta", "beta", "reward", "prompt_law", "gap_theta"} | {
    f"{what}_{policy}" for what in ("log_pi", "log_coverage", "objective") for policy in ("theta", "star")
}
CHECKS: dict[str, tuple[Callable[[Case], None], set[str]]] = {
    "policy.json": (check_policy, POLICY_KEYS | {"objective_base"}),
    "sampler.json": (
        check_sampler,
        {"base", "f", "beta", "multiplier", "delta", "n", "law", "target", "coverage", "tv"}
        | {"fallback_probability", "expected_trials"},
    ),
    "spanner.json": (check_spanner, {"dimension", "lam", "nu", "pairs", "accepted", "norms", "sigma", "log_det"}),
    "regression.json": (check_regression, {"features", "targets", "radius", "theta", "unique", "multiplier", "loss"}),
    "bounds.json": (check_bounds, set()),  # keys depend on the quantity
    "tokens.json": (
        check_tokens,
        {"depth", "alphabet", "beta", "base", "features", "theta", "reward", "value", "q", "policy"}
        | {"conditional_coverage", "coverage", "objective_star"},
    ),
}


def known_keys(name: str, case: Case) -> set[str]:
    if name != "bounds.json":
        return CHECKS[name][1]
    quantity = case.get("quantity")
    assert isinstance(quantity, str), f"{quantity!r} names no quantity"
    if quantity == "derived_parameters":
        return DERIVED_ARGUMENTS | DERIVED_COUNTS | DERIVED_REALS | {"quantity", "note"}
    assert quantity in CLOSED_FORMS, f"unknown quantity {quantity!r}"
    return CLOSED_FORMS[quantity][1] | {"quantity", "value"}


def check(name: str, case: Case) -> None:
    """Raise `AssertionError` unless one case of one file holds, whole: no file, quantity or key is passed over."""
    assert name in CHECKS, f"unknown file {name}"
    keys = known_keys(name, case)
    assert set(case) == keys, f"unknown keys {set(case) - keys}, missing keys {keys - set(case)}"
    try:
        CHECKS[name][0](case)
    except ArgumentError as refusal:
        message = f"the library refuses the recorded input: {refusal}"
        raise AssertionError(message) from refusal


def cases_of(folder: Path) -> list[Any]:
    params = []
    for path in sorted(folder.glob("*.json")):
        try:
            cases = read_cases(path)
        except (AssertionError, ValueError):
            continue  # the test of whole files reads it again and fails
        for position, case in enumerate(cases):
            quantity = f"-{case['quantity']}" if "quantity" in case else ""
            params.append(pytest.param(path.name, case, id=f"{path.stem}-{position}{quantity}"))
    return params


def test_the_folder_holds_vectors_and_ours_holds_all() -> None:
    assert list(FOLDER.glob("*.json")), f"no JSON files in {FOLDER}"
    assert {path.name for path in OWN_FOLDER.iterdir()} == set(CHECKS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_every_file_is_known_and_well_formed(path: Path) -> None:
    assert path.name in CHECKS
    read_cases(path)


@pytest.mark.parametrize(("name", "case"), cases_of(FOLDER))
def test_recorded_values_are_reproduced(name: str, case: Case) -> None:
    check(name, case)


# ---------------------------------------------------------------------------------------------------------------------
# The checks have teeth: every single value of every recorded case is changed, and every change is caught.

RELATIVE_CHANGE = 1e-4

# Logarithms, objectives and gaps are rounded to some 1e-13 whatever their size: one that is (almost) 0 is changed as if
# it were 1e-6.
FLOORS = {"policy.json": 1e-6, "tokens.json": 1e-6}

# A small change of these is invisible by rights, so they are changed by this factor, which must be seen. What they
# govern is an integer: a rounded-up count, or which pair is accepted.
FACTORS: dict[tuple[str, str], float] = {
    ("spanner.json", "nu"): 0.2,  # every norm is nu or more away from it: small changes move none past it
    ("sampler.json", "delta"): 0.5,  # enters through N alone
    ("spanner_size_bound", "lam"): 0.5,
    ("spanner_size_bound", "nu"): 0.5,
    ("sampler_trials", "multiplier"): 2.0,
    ("sampler_trials", "delta"): 0.5,
    ("regression.json", "radius"): 0.1,  # may be larger than the minimiser's norm
} | {("derived_parameters", key): 1.0 + RELATIVE_CHANGE for key in DERIVED_COUNTS}  # see COUNT_NOTE


def leaves(value: Any, leaf: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """Every number, string, boolean and null of a case."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*leaf, key))
    else:
        yield leaf, value


def changes(name: str, case: Case, leaf: Leaf, value: Any) -> list[Any]:
    """What a value is changed to, one after the other."""
    key = str(leaf[0])
    if name == "policy.json" and key in {"phi", "reward"} and case["log_base"][leaf[1]][leaf[2]] is None:
        return []  # features and rewards of a response outside the base support matter to nothing
    match value:
        case str():
            prompts = len(case["phi"]) if key == "prompt_law" else 1
            skewed = [2.0 * (prompt + 1) / (prompts * (prompts + 1)) for prompt in range(prompts)]
            return [value + "?", skewed] if prompts > 1 else [value + "?"]
        case bool():
            return [not value]
        case None:
            return [-1.0]
    return changed_numbers(name, case, key, value)


def changed_numbers(name: str, case: Case, key: str, value: float) -> list[float | None]:
    factor = FACTORS.get((case.get("quantity", name), key))
    if isinstance(value, int):
        return [value + 1 if factor is None else max(value + 1, round(value * factor))]
    if factor is not None:
        return [value * factor]
    changed = value + RELATIVE_CHANGE * (max(abs(value), FLOORS.get(name, 0.0)) or 1.0)
    nullable = name == "policy.json" and key in {"log_base", "log_pi_theta", "log_pi_star"}
    return [changed, None] if nullable else [changed]


def passes(name: str, case: Case) -> bool:
    try:
        check(name, case)
    except AssertionError:
        return False
    return True


def replaced(case: Case, leaf: Leaf, value: Any) -> Case:
    result = copy.copy(case)
    part: Any = result
    for key in leaf[:-1]:
        part[key] = copy.copy(part[key])
        part = part[key]
    part[leaf[-1]] = value
    return result


COMPUTED = cases_of(OWN_FOLDER)


@pytest.mark.parametrize(("name", "case"), COMPUTED)
def test_every_changed_value_is_caught(name: str, case: Case) -> None:
    changed_keys = set()
    missed = []
    for leaf, value in leaves(case):
        for changed in changes(name, case, leaf, value):
            assert changed != value
            changed_keys.add(leaf[0])
            if passes(name, replaced(case, leaf, changed)):
                missed.append((leaf, value, changed))
    assert missed == []
    assert changed_keys == set(case)


@pytest.mark.parametrize(("name", "case"), COMPUTED)
def test_every_missing_unknown_or_misshapen_part_is_caught(name: str, case: Case) -> None:
    missed = [key for key in case if passes(name, {other: case[other] for other in case if other != key})]
    missed += [key for key in case if passes(name, replaced(case, (key,), {}))]
    arrays = [key for key in case if isinstance(case[key], list)]
    missed += [key for key in arrays if passes(name, replaced(case, (key,), case[key][:-1]))]
    missed += [key for key in arrays if passes(name, replaced(case, (key,), [*case[key], case[key][-1]]))]
    missed += [key for key in arrays if passes(name, replaced(case, (key,), [case[key]]))]
    assert missed == []
    assert not passes(name, case | {"surplus": 0.0})
    assert not passes(f"other-{name}", case)


def test_an_unknown_quantity_is_caught() -> None:
    assert not passes("bounds.json", {"quantity": "spanner_size", "dimension": 1, "lam": 1.0, "nu": 0.5, "value": 19})


@pytest.mark.parametrize(
    "text",
    [
        '{"about": "", "cases": []}',
        '{"about": "", "cases": [{"n": 1, "n": 2}]}',
        '{"about": "", "cases": [{"n": NaN}]}',
        '{"about": "", "cases": [{"n": 1}], "more": []}',
        '{"about": "", "cases": [1]}',
    ],
    ids=["no cases", "repeated key", "no number", "surplus key", "no case"],
)
def test_files_that_would_hide_something_are_caught(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bounds.json"
    path.write_text(text, "utf-8")
    with pytest.raises(AssertionError):
        read_cases(path)
