"""The example programs in C and JavaScript do what the reference does, and those in Python are verified."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import PROGRAM
from programs import ROOT, OneText, call, small_problem
from transcripts import Session, page_sessions, printed

from spanver.errors import BudgetExceededError
from spanver.guarantees.residuals import fit_excess
from spanver.guarantees.rounding import UNIT
from spanver.learners.softmax_sampler import sampler_trials
from spanver.oracle import Budget
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball
from spanver.problems.tabular import TabularProblem
from spanver.subjects.contract import Subject
from spanver.subjects.process import process_subject
from spanver.subjects.reference import subject as reference
from spanver.values import LinearScore, TruncatedScore


def javascript(_: Path) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    return shlex.join([node, str(ROOT / "examples" / "subject.js")])


def compiled_c(folder: Path) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    program = folder / "subject"
    options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([compiler, *options, "-o", program, ROOT / "examples" / "subject.c", "-lm"], check=True)
    return shlex.quote(str(program))


@pytest.fixture(scope="module", params=[javascript, compiled_c])
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    subject = process_subject(request.param(tmp_path_factory.mktemp("example")))
    yield subject
    subject.close()


@pytest.mark.parametrize(("count", "dimension"), [(5, 3), (1, 1), (0, 4), (40, 8)])
def test_elliptic_norms_of_an_example_are_those_of_the_reference(example: Subject, count: int, dimension: int) -> None:
    rng = np.random.default_rng(count)
    features, root = rng.normal(size=(count, dimension)), rng.normal(size=(dimension, dimension))
    sigma = root @ root.T + 0.1 * np.eye(dimension)
    expected = reference.functions["elliptic_norms"](features, sigma)
    np.testing.assert_allclose(call(example, "elliptic_norms", features, sigma), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("base", "scores", "beta"),
    [
        ([0.5, 0.25, 0.25], [0.3, -1.0, 2.0], 0.7),
        ([1.0], [5.0], 0.1),
        ([0.5, 0.0, 0.5], [1.0, 9.0, -1.0], 0.5),
        ([0.5, 0.5 - 1e-300, 1e-300], [0.0, -1.0, 1.0], 1e-4),
        ([0.5, 0.5], [1e6, -1e6], 1e-4),
    ],
)
def test_log_softmax_of_an_example_stays_in_logs(
    example: Subject, base: list[float], scores: list[float], beta: float
) -> None:
    with np.errstate(divide="ignore"):
        log_base = np.log(base)
    expected = reference.functions["log_softmax"](log_base, np.array(scores), beta)
    result = call(example, "log_softmax", log_base, np.array(scores), beta)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


REGRESSIONS: dict[str, Callable[[np.random.Generator], Any]] = {
    "random": lambda rng: (rng.normal(size=(20, 5)), rng.normal(size=20)),
    "one dimension": lambda rng: (rng.normal(size=(7, 1)), rng.normal(size=7)),
    "fewer rows than columns": lambda rng: (rng.normal(size=(2, 6)), rng.normal(size=2)),
    "rank 1": lambda rng: (np.outer(rng.normal(size=9), rng.normal(size=4)), rng.normal(size=9)),
    "equal rows": lambda rng: (np.ones((4, 3)), rng.normal(size=4)),
    "a zero column": lambda rng: (rng.normal(size=(8, 3)) * [1.0, 0.0, 1.0], rng.normal(size=8)),
    "zeros": lambda _: (np.zeros((3, 2)), np.ones(3)),
    "no rows": lambda _: (np.zeros((0, 4)), np.zeros(0)),
    "badly scaled": lambda rng: (rng.normal(size=(12, 4)) * [1.0, 1e-3, 1e-6, 1.0], rng.normal(size=12)),
    "large targets": lambda rng: (rng.normal(size=(10, 3)), 1e100 * rng.normal(size=10)),
    "large features": lambda rng: (1e100 * rng.normal(size=(10, 3)), rng.normal(size=10)),
}


@pytest.mark.parametrize("radius", [1e-3, 0.4, 3.0, 1e6])
@pytest.mark.parametrize("name", REGRESSIONS)
def test_the_fit_of_an_example_meets_the_kkt_conditions(example: Subject, name: str, radius: float) -> None:
    features, targets = REGRESSIONS[name](np.random.default_rng(3))
    theta = call(example, "fit", features, targets, radius)
    assert theta.shape == (features.shape[1],)
    with np.errstate(over="ignore"):
        excess, allowed = fit_excess(features, targets, theta, Ball(radius), UNIT)
        assert excess <= allowed
    if name == "random":
        expected = reference.functions["fit"](features, targets, radius)
        np.testing.assert_allclose(theta, expected, rtol=1e-8)


def test_an_example_draws_from_the_law_and_from_its_seed(example: Subject) -> None:
    law = np.array([0.0, 0.5, 0.3, 0.0, 0.2, 0.0])
    drawn = call(example, "draw", law, 4000, 2**63 - 1)
    shares = np.bincount(drawn, minlength=6) / 4000
    assert np.all(np.abs(shares - law) <= 5 * np.sqrt(law * (1 - law) / 4000))
    assert np.array_equal(drawn, call(example, "draw", law, 4000, 2**63 - 1))
    assert not np.array_equal(drawn, call(example, "draw", law, 4000, 2**62))
    assert call(example, "draw", np.array([1.0]), 3, 0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_an_example_accepts_the_pairs_that_the_reference_accepts(example: Subject, seed: int) -> None:
    problem = small_problem(seed, dimension=1 + seed, responses=1 if seed == 3 else 8)
    plan = {"prompts": 12, "pairs_per_prompt": 40, "nu": 0.25, "ridge": 0.1, "seed": seed}
    # Draws of one prompt form pairs in the order received, so the same randomness gives the same pairs to both.
    mine, theirs = literal_oracle(problem, seed=seed), literal_oracle(problem, seed=seed)
    expected = call(reference, "build_spanner", mine, **plan)
    result = call(example, "build_spanner", theirs, **plan)
    assert (result.prompts, result.first, result.second) == (expected.prompts, expected.first, expected.second)
    np.testing.assert_array_equal(result.vectors, expected.vectors)
    np.testing.assert_array_equal(result.targets, expected.targets)
    np.testing.assert_allclose(result.sigma, expected.sigma, rtol=1e-12, atol=1e-15)
    assert theirs.ledger.rewards == 2 * len(result.targets)
    assert theirs.ledger.samples <= 2 * 12 * 40
    sigma = 0.1 * np.eye(problem.dimension)
    for vector in result.vectors:
        assert vector @ np.linalg.solve(sigma, vector) > 0.25**2 * (1 - 1e-9)
        sigma += np.outer(vector, vector)
    np.testing.assert_allclose(result.sigma, sigma, rtol=1e-12, atol=1e-15)
    if seed < 3:
        assert len(result.targets) > 0


def test_samples_of_an_example_are_legal_and_cost_at_most_twice_the_pilot_and_one(example: Subject) -> None:
    for seed in range(12):
        problem = small_problem(seed, dimension=1 + seed % 3, responses=1 + seed, beta=1e-4 if seed % 2 else 0.5)
        oracle = literal_oracle(problem, seed=seed)
        prompt = int(oracle.prompt())
        theta = np.full(problem.dimension, 0.7)
        score = TruncatedScore(theta, problem.features[0, 0], np.eye(problem.dimension), 0.5)
        multiplier = [1.0, 3.0, 30.0][seed % 3]
        drawn = call(
            example,
            "softmax_sample",
            oracle,
            prompt,
            score if seed % 4 < 2 else LinearScore(theta),
            multiplier=multiplier,
            failure=0.3,
            seed=seed,
        )
        assert 0 <= drawn < problem.responses
        assert problem.log_base[prompt, drawn] > -np.inf
        size = sampler_trials(multiplier, 0.3)
        assert size < oracle.ledger.samples <= 2 * size + 1


def test_samples_of_an_example_have_the_law_of_the_softmax_policy(example: Subject) -> None:
    problem = small_problem(5, responses=4)
    theta = np.array([0.8, -0.5, 0.3])
    oracle = literal_oracle(problem, seed=1)
    prompt = int(oracle.prompt())
    scores = problem.features[prompt] @ theta
    law = np.exp(reference.functions["log_softmax"](problem.log_base[prompt], scores, problem.beta))
    multiplier = 4.0 * float(np.max(law / np.exp(problem.log_base[prompt])))
    plan: dict[str, Any] = {"multiplier": multiplier, "failure": 0.01}
    drawn = [
        call(example, "softmax_sample", oracle, prompt, LinearScore(theta), seed=seed, **plan) for seed in range(400)
    ]
    shares = np.bincount(drawn, minlength=4) / 400
    assert np.all(np.abs(shares - law) <= 5 * np.sqrt(law * (1 - law) / 400) + 0.01)


def test_where_beta_is_tiny_an_example_returns_the_best_response(example: Subject) -> None:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.25, 0.5, 0.25]]),
        features=np.array([[[0.0], [0.9], [1.0]]]),
        reward=np.zeros((1, 3)),
        beta=1e-4,
        radius=1.0,
    )
    oracle = literal_oracle(problem, seed=0)
    prompt = oracle.prompt()
    score = LinearScore(np.array([1.0]))
    for seed in range(10):
        plan: dict[str, Any] = {"multiplier": 16.0, "failure": 1e-3, "seed": seed}
        assert call(example, "softmax_sample", oracle, prompt, score, **plan) == 2


def test_the_example_that_sends_compressed_queries_runs_at_any_coverage(tmp_path: Path) -> None:
    subject = process_subject(compiled_c(tmp_path))
    problem = small_problem(2)
    oracle = counted_oracle(problem, seed=0)
    score = LinearScore(np.ones(3))
    try:
        call(subject, "softmax_sample", oracle, oracle.prompt(), score, multiplier=2.0**40, failure=0.01, seed=0)
    finally:
        subject.close()
    assert oracle.ledger.samples > 2**40


def test_prompts_and_responses_of_an_example_may_be_text(example: Subject) -> None:
    score = LinearScore(np.array([0.5]))
    plan: dict[str, Any] = {"multiplier": 1.0, "failure": 0.5, "seed": 0}
    assert call(example, "softmax_sample", OneText(), OneText.text, score, **plan) == OneText.text


def test_an_example_whose_query_is_refused_goes_on_with_the_next_run(example: Subject) -> None:
    oracle = literal_oracle(small_problem(0), seed=0, budget=Budget(samples=5))
    prompt = oracle.prompt()
    with pytest.raises(BudgetExceededError, match="only 5 are left"):
        call(example, "softmax_sample", oracle, prompt, LinearScore(np.ones(3)), multiplier=2.0, failure=0.1, seed=0)
    assert call(example, "fit", np.ones((1, 1)), np.ones(1), 2.0) == pytest.approx([1.0])


def test_the_example_in_python_is_verified(tmp_path: Path) -> None:
    only = "I1,O3,R1,R2,R5,S,E1,E2,E6"
    command = [*PROGRAM, "verify", "subject:subject", "--only", only, "--json", str(tmp_path / "it.json")]
    finished = subprocess.run(command, cwd=ROOT / "examples", capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    footer = json.loads((tmp_path / "it.json").read_text())["footer"]
    assert (footer["violated"], footer["undecided"], footer["not_provided"]) == ([], [], [])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_example_in_pytorch_is_verified(tmp_path: Path, seed: int) -> None:
    pytest.importorskip("torch")
    command = [*PROGRAM, "verify", "torch_subject:subject", "--seed", str(seed), "--json", str(tmp_path / "it.json")]
    finished = subprocess.run(command, cwd=ROOT / "examples", capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    footer = json.loads((tmp_path / "it.json").read_text())["footer"]
    assert (footer["violated"], footer["undecided"], footer["not_judged"]) == ([], [], [])


SESSIONS = page_sessions((ROOT / "docs" / "subjects.md").read_text(encoding="utf-8"))


def without_seconds(lines: list[str]) -> list[str]:
    return [re.sub(r" +\d+\.\d$", "", line) for line in lines]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: " ".join(session.arguments))
def test_what_the_page_says_of_its_example_is_printed(session: Session, tmp_path: Path) -> None:
    advice = "bring the page up to date: python tests/support/transcripts.py docs/subjects.md"
    assert without_seconds(printed(session, tmp_path)) == without_seconds(session.stated), advice


def test_the_page_shows_an_example_that_is_right_a_bug_that_is_found_and_an_error() -> None:
    right, wrong, broken = ("\n".join(session.stated) for session in SESSIONS)
    assert re.search(r"(\d+) of \1 properties ran: \d+ guarantees hold, 0 violated, 0 undecided", right)
    assert "R3 is violated: response of softmax_sample" in wrong
    assert "softmax_sample raised TypeError: 'LinearScore' object is not callable (mine.py:" in broken
