"""Programs behind a pipe: the examples, the Python server, the page of the protocol, and one test for every fault."""

from __future__ import annotations

import json
import math
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from spanver.errors import (
    ArgumentError,
    BudgetExceededError,
    ContractError,
    HandshakeError,
    ProtocolError,
    QuestionRefusedError,
)
from spanver.guarantees.residuals import fit_residual
from spanver.learners.softmax_sampler import sampler_trials
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget, Ledger
from spanver.oracles import counted_oracle, literal_oracle
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.subjects import process
from spanver.subjects.contract import REMOTE, Subject, result_of
from spanver.subjects.process import process_subject
from spanver.subjects.protocol import answer, decode, decoded, encoded
from spanver.subjects.reference import subject as reference
from spanver.values import Counts, LinearScore, Responses, SearchResult, TruncatedScore

ROOT = Path(__file__).parents[2]
TRANSCRIPTS = runpy.run_path(str(ROOT / "tests" / "support" / "transcripts.py"))
RUNS, page_transcripts, transcript = (TRANSCRIPTS[name] for name in ("RUNS", "page_transcripts", "transcript"))
SCHEMA = json.loads((ROOT / "spanver" / "subjects" / "protocol.schema.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def call(subject: Subject, function: str, *arguments: Any, **named: Any) -> Any:
    return result_of(function, subject.functions[function](*arguments, **named))


def small_problem(seed: int, *, dimension: int = 3, responses: int = 6, beta: float = 0.5) -> TabularProblem:
    return random_problem(seed, prompts=3, responses=responses, dimension=dimension, beta=beta)


# The examples in other languages


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
    luck = np.random.default_rng(count)
    features, root = luck.normal(size=(count, dimension)), luck.normal(size=(dimension, dimension))
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
    "random": lambda luck: (luck.normal(size=(20, 5)), luck.normal(size=20)),
    "one dimension": lambda luck: (luck.normal(size=(7, 1)), luck.normal(size=7)),
    "fewer rows than columns": lambda luck: (luck.normal(size=(2, 6)), luck.normal(size=2)),
    "rank 1": lambda luck: (np.outer(luck.normal(size=9), luck.normal(size=4)), luck.normal(size=9)),
    "equal rows": lambda luck: (np.ones((4, 3)), luck.normal(size=4)),
    "a zero column": lambda luck: (luck.normal(size=(8, 3)) * [1.0, 0.0, 1.0], luck.normal(size=8)),
    "zeros": lambda _: (np.zeros((3, 2)), np.ones(3)),
    "no rows": lambda _: (np.zeros((0, 4)), np.zeros(0)),
    "badly scaled": lambda luck: (luck.normal(size=(12, 4)) * [1.0, 1e-3, 1e-6, 1.0], luck.normal(size=12)),
    "large targets": lambda luck: (luck.normal(size=(10, 3)), 1e100 * luck.normal(size=10)),
    "large features": lambda luck: (1e100 * luck.normal(size=(10, 3)), luck.normal(size=10)),
}


@pytest.mark.parametrize("radius", [1e-3, 0.4, 3.0, 1e6])
@pytest.mark.parametrize("name", REGRESSIONS)
def test_the_fit_of_an_example_meets_the_kkt_conditions(example: Subject, name: str, radius: float) -> None:
    features, targets = REGRESSIONS[name](np.random.default_rng(3))
    theta = call(example, "fit", features, targets, radius)
    assert theta.shape == (features.shape[1],)
    with np.errstate(over="ignore"):
        assert fit_residual(features, targets, theta, radius) <= 1e-9
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
    # Draws of one prompt form pairs in the order received, so the same luck gives the same pairs to both.
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


def test_the_example_that_asks_compressed_questions_runs_at_any_coverage(tmp_path: Path) -> None:
    subject = process_subject(compiled_c(tmp_path))
    problem = small_problem(2)
    oracle = counted_oracle(problem, seed=0)
    score = LinearScore(np.ones(3))
    try:
        call(subject, "softmax_sample", oracle, oracle.prompt(), score, multiplier=2.0**40, failure=0.01, seed=0)
    finally:
        subject.close()
    assert oracle.ledger.samples > 2**40


class OneText:
    """An oracle with one prompt and one response, both of them text."""

    dimension, beta, radius, reward_range = 1, 1.0, 1.0, 1.0
    ledger, budget = Ledger(), Budget()
    text = 'é "\\{[,:\n'

    def __init__(self) -> None:
        self._all = Responses((self.text,), np.ones((1, 1)))

    def sample(self, prompt: str, count: int) -> Responses:
        assert prompt == self.text
        return Responses((self.text,) * count, np.ones((count, 1)))

    def sample_counts(self, prompt: str, count: int) -> Counts:
        assert prompt == self.text
        return Counts(self._all, np.array([count]))

    def sample_until(self, prompt: str, rule: Any, limit: int) -> SearchResult:
        assert prompt == self.text
        assert limit >= 1
        assert rule.score.theta.tolist() == [0.5]
        return SearchResult(self._all, 1)


def test_prompts_and_responses_of_an_example_may_be_text(example: Subject) -> None:
    score = LinearScore(np.array([0.5]))
    plan: dict[str, Any] = {"multiplier": 1.0, "failure": 0.5, "seed": 0}
    assert call(example, "softmax_sample", OneText(), OneText.text, score, **plan) == OneText.text


def test_an_example_whose_question_is_refused_goes_on_with_the_next_run(example: Subject) -> None:
    oracle = literal_oracle(small_problem(0), seed=0, budget=Budget(samples=5))
    prompt = oracle.prompt()
    with pytest.raises(BudgetExceededError, match="only 5 are left"):
        call(example, "softmax_sample", oracle, prompt, LinearScore(np.ones(3)), multiplier=2.0, failure=0.1, seed=0)
    assert call(example, "fit", np.ones((1, 1)), np.ones(1), 2.0) == pytest.approx([1.0])


# The server of Python subjects


@pytest.fixture(scope="module")
def served() -> Iterator[Subject]:
    subject = process_subject(f"{shlex.quote(sys.executable)} -m spanver.serve reference")
    yield subject
    subject.close()


def test_the_server_provides_what_the_reference_provides_outside_of_python(served: Subject) -> None:
    assert served.name == "reference"
    assert served.provides == reference.provides - {"multi_turn", "literal_oracle", "counted_oracle"}


LUCK = np.random.default_rng(8)
PLAIN_CALLS: dict[str, tuple[Any, ...]] = {
    "elliptic_norms": (LUCK.normal(size=(5, 2)), np.array([[2.0, 0.3], [0.3, 1.0]])),
    "log_softmax": (np.array([-np.inf, math.log(0.3), math.log(0.7)]), LUCK.normal(size=3), 1e-4),
    "truncated_scores": (LUCK.normal(size=(5, 2)), LUCK.normal(size=2), LUCK.normal(size=2), np.eye(2), 1.0),
    "kl_divergence": (np.log([0.3, 0.7]), np.array([0.0, -np.inf])),
    "log_coverage": (np.log([0.3, 0.7]), np.log([0.6, 0.4])),
    "fit": (LUCK.normal(size=(6, 3)), LUCK.normal(size=6), 0.5),
    "draw": (np.array([0.2, 0.0, 0.8]), 20, 2**63 + 5),
}


@pytest.mark.parametrize("name", PLAIN_CALLS)
def test_the_server_returns_what_the_reference_returns(served: Subject, name: str) -> None:
    expected = call(reference, name, *PLAIN_CALLS[name])
    np.testing.assert_array_equal(call(served, name, *PLAIN_CALLS[name]), expected)


@pytest.mark.parametrize("name", ["softmax_sample", "race_sample"])
def test_samples_through_the_server_are_those_of_the_reference(served: Subject, name: str) -> None:
    def drawn(subject: Subject) -> list[Any]:
        oracle = counted_oracle(small_problem(3), seed=4)
        prompt = oracle.prompt()
        plan: dict[str, Any] = {"multiplier": 5.0, "failure": 0.1}
        score = LinearScore(np.array([0.3, -1.0, 0.2]))
        ids = [call(subject, name, oracle, prompt, score, seed=seed, **plan) for seed in range(10)]
        return [*ids, oracle.ledger]

    assert drawn(served) == drawn(reference)


def test_a_spanner_through_the_server_is_that_of_the_reference(served: Subject) -> None:
    mine, theirs = (counted_oracle(small_problem(6), seed=2) for _ in range(2))
    plan: dict[str, Any] = {"prompts": 20, "pairs_per_prompt": 30, "nu": 0.3, "ridge": 0.5, "seed": 1}
    expected, result = call(reference, "build_spanner", mine, **plan), call(served, "build_spanner", theirs, **plan)
    assert (result.prompts, result.first, result.second) == (expected.prompts, expected.first, expected.second)
    for part in ("vectors", "targets", "sigma"):
        np.testing.assert_array_equal(getattr(result, part), getattr(expected, part))
    assert mine.ledger == theirs.ledger
    assert len(expected.targets) > 0


def test_spanner_sampling_through_the_server_is_that_of_the_reference(served: Subject) -> None:
    settings = Settings(
        prompts=6,
        pairs_per_prompt=20,
        nu=0.4,
        ridge=0.5,
        exploration_rounds=5,
        rejection_multiplier=6.0,
        rejection_failure=0.1,
    )
    mine, theirs = (literal_oracle(small_problem(7), seed=3) for _ in range(2))
    expected = call(reference, "spanner_sampling", mine, seed=9, settings=settings)
    result = call(served, "spanner_sampling", theirs, seed=9, settings=settings)
    assert mine.ledger == theirs.ledger
    assert len(result.components) == len(expected.components) == 5
    for one, other in zip(result.components, expected.components, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)
        np.testing.assert_array_equal(one.precision, other.precision)
        assert one.nu == other.nu


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("passive_learner", {}),
        ("online_dpo", {"feedback": "reward"}),
        ("online_dpo", {"feedback": "preference"}),
        ("xpo", {"alpha": 0.25, "feedback": "reward", "partition_samples": 8}),
        ("xpo", {"alpha": 0.25, "feedback": "preference", "partition_samples": 8}),
        ("elliptical_enumeration", {"ridge": 0.5}),
        ("best_of_n", {"count": 16}),
    ],
)
def test_a_baseline_through_the_server_is_that_of_the_reference(
    served: Subject, name: str, plan: dict[str, Any]
) -> None:
    mine, theirs = (literal_oracle(small_problem(8), seed=3, full_table=True) for _ in range(2))
    expected = call(reference, name, mine, rounds=6, seed=9, **plan)
    result = call(served, name, theirs, rounds=6, seed=9, **plan)
    assert mine.ledger == theirs.ledger
    assert mine.ledger.rewards > 0
    for part in ("thetas", "vectors", "targets", "theta"):
        np.testing.assert_array_equal(getattr(result, part), getattr(expected, part))
    assert result.thetas.shape == (6, 3)
    assert result.count == expected.count == plan.get("count")


BASELINE: dict[str, Any] = {"thetas": [[0.0, 0.0]], "vectors": [[1.0, 0.0]], "targets": [0.5], "theta": [0.5, 0.0]}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("online_dpo", {"thetas": [[0.0]]}, "the shape of thetas"),
        ("online_dpo", {"targets": [0.5, 1.0]}, "the shape of thetas"),
        ("xpo", {"vectors": [[1.0, 0.0, 0.0]]}, "the shape of vectors"),
        ("xpo", {"theta": [float("nan"), 0.0]}, "theta"),
        ("best_of_n", {}, "with the key count"),
        ("best_of_n", {"count": 1.5}, "integer"),
    ],
)
def test_a_baseline_of_another_form_breaks_the_contract(name: str, changes: dict[str, Any], words: str) -> None:
    assert result_of("best_of_n", BASELINE | {"count": 3}).count == 3
    with pytest.raises(ContractError, match=words):
        result_of(name, BASELINE | changes)


def test_what_a_subject_raises_at_the_server_is_raised_here(served: Subject) -> None:
    with pytest.raises(RuntimeError, match="ArgumentError: prompts is 0"):
        call(
            served,
            "build_spanner",
            literal_oracle(small_problem(0), seed=0),
            prompts=0,
            pairs_per_prompt=1,
            nu=1.0,
            ridge=1.0,
            seed=0,
        )
    assert call(served, "fit", np.ones((1, 1)), np.ones(1), 2.0).tolist() == [1.0]


def test_what_a_served_subject_prints_does_not_get_between_the_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "class chatty:\n    provides = ['fit']\n    def fit(*_):\n        print('fitting')\n        return [2.0]\n"
    (tmp_path / "chatty_subject.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    subject = process_subject(f"{shlex.quote(sys.executable)} -m spanver.serve chatty_subject:chatty")
    try:
        assert call(subject, "fit", np.ones((1, 1)), np.ones(1), 2.0).tolist() == [2.0]
    finally:
        subject.close()


# The page


@pytest.mark.parametrize("name", RUNS)
def test_a_transcript_of_the_page_is_what_really_goes_over_the_pipe(name: str) -> None:
    stated, said = page_transcripts(PAGE)[name], transcript(name)
    assert [sender for sender, _ in stated] == [sender for sender, _ in said]
    for (sender, one), (_, other) in zip(stated, said, strict=True):
        validator(sender).validate(one)
        validator(sender).validate(other)
        assert_same(one, other)


def validator(sender: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(SCHEMA | {"oneOf": [{"$ref": f"#/$defs/{sender}"}]})


def assert_same(one: Any, other: Any) -> None:
    """Equal, but for the rounding of numbers."""
    if isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for each, of_other in zip(one, other, strict=True):
            assert_same(each, of_other)
    else:
        assert one == other


def test_the_page_has_a_transcript_of_every_run_and_no_other() -> None:
    assert set(page_transcripts(PAGE)) == set(RUNS) == REMOTE | {"refused"}
    assert set(SCHEMA["$defs"]["function"]["enum"]) == REMOTE


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("program", {"seq": 1, "result": None}),
        ("program", {"seq": 1, "result": [1.0], "error": "both"}),
        ("program", {"seq": 0, "error": "no such run"}),
        ("program", {"seq": 1, "ask": "sample", "prompt": 0}),
        ("program", {"seq": 1, "ask": "sample", "prompt": 0, "count": 1.5}),
        ("program", {"seq": 1, "ask": "guess"}),
        ("program", {"hello": {"protocol": 1, "name": "new", "provides": []}}),
        ("harness", {"seq": 1, "result": [1.0]}),
    ],
)
def test_the_schema_refuses_what_the_protocol_does_not_have(sender: str, message: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(sender).validate(message)


# Messages


@pytest.mark.parametrize(
    "line",
    [b"", b"[1]", b"{", b'{"a": NaN}', b'{"a": -Infinity}', b"\xff\xfe{}", b"[" * 100_000, b"1" * 5000],
    ids=["nothing", "a list", "half", "NaN", "infinity", "no text", "deep", "a long number"],
)
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ArgumentError, match=r"^line is .* but it must be"):
        decode(line)


@pytest.mark.parametrize(
    "array",
    [np.array([1.0, np.inf]), np.array(-np.inf), np.zeros((0, 3)), np.array([[0.1, 1 / 3], [1e-300, -0.0]])],
)
def test_an_array_comes_back_to_the_bit(array: Any) -> None:
    back = np.asarray(decoded(json.loads(json.dumps(encoded(array), allow_nan=False))), dtype=np.float64)
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        {"shape": [2], "float64": "AAAAAAAA8H8="},
        {"shape": [-1], "float64": "AAAAAAAA8H8="},
        {"shape": [10**30, 0], "float64": "AAAAAAAA8H8="},
        {"shape": 1, "float64": "AAAAAAAA8H8="},
        {"shape": [1], "float64": "?"},
        {"shape": [1], "float64": [1.0]},
    ],
)
def test_a_damaged_array_is_refused(array: Any) -> None:
    with pytest.raises(ArgumentError):
        decoded(array)


@pytest.mark.parametrize(
    "question",
    [
        {"ask": "guess"},
        {"ask": ["sample"]},
        {"ask": "ledger"},
        {"ask": "sample", "prompt": 0},
        {"ask": "sample", "prompt": 0, "count": 1, "budget": 0},
        {"ask": "sample", "prompt": [0], "count": 1},
        {"ask": "sample", "prompt": 0, "count": 1, "theta": "zero"},
        {"ask": "sample", "prompt": 0, "count": 1.0},
        {"ask": "reward", "prompt": 0, "response": 10**400},
        {"ask": "sample_until", "prompt": 0, "rule": {"kind": "Always"}, "limit": 1},
    ],
)
def test_a_question_that_the_oracle_does_not_have_is_refused(question: dict[str, Any]) -> None:
    problem = TabularProblem(np.ones(1), np.zeros((1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1)), 1.0, 1.0)
    oracle = literal_oracle(problem, seed=0)
    oracle.prompt()
    with pytest.raises(ArgumentError):
        answer(oracle, {"seq": 1, **question})
    assert oracle.ledger == Ledger()


# Faults: a program that does everything right but one thing, once

PROGRAM = """
import json, os, subprocess, sys, time

flag = sys.argv[1]

def send(message):
    write(json.dumps(message) + "\\n")

def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def ask(question, **arguments):
    send({{"seq": seq, "ask": question, **arguments}})
    return json.loads(sys.stdin.readline())

sys.stdin.readline()
{before_hello}
send({{"hello": {{"protocol": {version}, "name": "test", "provides": ["draw", "softmax_sample"]}}}})
for line in iter(sys.stdin.readline, ""):
    message = json.loads(line)
    seq = message["seq"]
    if not os.path.exists(flag):
        open(flag, "w").close()
        {fault}
    if message["run"] == "draw":
        send({{"seq": seq, "result": [1] * message["arguments"]["count"]}})
        continue
    reply = ask("sample", prompt=message["arguments"]["prompt"], count=1)
    if "refused" in reply:
        send({{"seq": seq, "error": "gave up"}})
    else:
        send({{"seq": seq, "result": reply["answer"]["ids"][0]}})
"""
QUICKLY = 10.0  # seconds: far above every time limit here, and far below every sleep of a program

Starts = Callable[..., Subject]


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    """Start a program with a fault; when the test ends, nothing of it may be left."""
    subjects: list[Subject] = []

    def start(fault: str = "pass", before_hello: str = "", version: int = 2, time_limit: float = 0.7) -> Subject:
        path = tmp_path / "program.py"
        source = PROGRAM.format(fault=fault.replace("\n", "\n        "), before_hello=before_hello, version=version)
        path.write_text(source, encoding="utf-8")
        words = [sys.executable, "-I", "-S", str(path), str(tmp_path / "flag")]
        subjects.append(process_subject(shlex.join(words), time_limit=time_limit))
        return subjects[-1]

    began = time.monotonic()
    yield start
    for subject in subjects:
        subject.close()
    assert time.monotonic() - began < QUICKLY
    assert_gone(str(tmp_path))


def running(marker: str) -> list[str]:
    """Command lines of processes that hold a marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if marker in words:
            found.append(words)
    return found


def assert_gone(marker: str) -> None:
    if not Path("/proc/self/cmdline").exists():
        return
    ends = time.monotonic() + 3.0
    while running(marker) and time.monotonic() < ends:
        time.sleep(0.01)
    assert running(marker) == []


def drawn(subject: Subject, count: int = 2) -> Any:
    return call(subject, "draw", np.array([0.0, 1.0]), count, 0).tolist()


def sampled(subject: Subject, samples: int | None = None) -> Any:
    oracle = literal_oracle(small_problem(0, responses=1), seed=0, budget=Budget(samples=samples))
    score = LinearScore(np.zeros(3))
    return call(subject, "softmax_sample", oracle, oracle.prompt(), score, multiplier=1.0, failure=0.5, seed=0)


FAULTS = {
    "hang": ("time.sleep(60)", "no full line within the time limit", True),
    "crash in mid-run": (
        "ask('sample', prompt=message['arguments']['prompt'], count=1)\nos._exit(3)",
        "exit code 3",
        False,
    ),
    "killed": ("os.kill(os.getpid(), 9)", "exit code -9", False),
    "early exit": ("sys.exit(0)", "exit code 0", False),
    "half a line, and the end": ("write('{\"seq\"')\nsys.exit(0)", "exit code 0", False),
    "output closed": ("os.close(1)\ntime.sleep(60)", "closed its output", False),
    "garbage line": ("write('computing...\\n')", "one JSON object", False),
    "empty line": ("write('\\n')", "one JSON object", False),
    "NaN in the result": ("send({'seq': seq, 'result': [float('nan')]})", "no NaN", False),
    "damaged array": ("send({'seq': seq, 'result': {'shape': [9], 'float64': ''}})", "shape", False),
    "100 MB line": ("[write('1' * 10**6) for _ in range(100)]\nwrite('\\n')", "more than 16777216 bytes", True),
    "slow drip": (
        "[(write(each), time.sleep(0.05)) for each in json.dumps({'seq': seq, 'result': [1, 1]})]",
        "no full line within the time limit",
        True,
    ),
    "wrong seq": ("send({'seq': seq + 1, 'result': [1, 1]})", "seq is 2", False),
    "no seq": ("send({'result': [1, 1]})", "seq is None", False),
    "two kinds at once": ("send({'seq': seq, 'result': [1], 'error': 'x'})", "one of ask, result and error", False),
    "none of the kinds": ("send({'seq': seq, 'progress': 0.5})", "one of ask, result and error", False),
    "unknown question": ("ask('theta_star')", "ask is 'theta_star'", False),
    "question without an argument": ("ask('sample', prompt=0)", "the arguments of sample", False),
    "prompt that was not handed out": ("ask('sample', prompt=99, count=1)", "issued", False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_protocol_error_and_the_next_run_has_a_fresh_process(starts: Starts, name: str) -> None:
    fault, sentence, final = FAULTS[name]
    subject = starts(fault)
    run, function = (sampled, "softmax_sample") if "ask(" in fault else (drawn, "draw")
    with pytest.raises(ProtocolError, match=f"^{function}: .*{sentence}") as caught:
        run(subject)
    assert caught.value.final == final
    assert drawn(subject) == [1, 1]
    assert sampled(subject) == 0


def test_a_question_in_a_run_without_oracle_is_a_protocol_error(starts: Starts) -> None:
    subject = starts("ask('prompt')")
    with pytest.raises(ProtocolError, match="this run has no oracle"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_a_line_after_the_result_fails_the_run_after_it(starts: Starts) -> None:
    subject = starts("write((json.dumps({'seq': seq, 'result': [1, 1]}) + '\\n') * 2)\ncontinue")
    assert drawn(subject) == [1, 1]
    # The second line comes in the same instant; should it be read later, its number is that of the run before.
    with pytest.raises(ProtocolError, match=r"a line after the result|seq is 1"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_an_input_that_is_not_read_is_a_protocol_error(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'result': [1, 1]})\ntime.sleep(60)")
    assert drawn(subject) == [1, 1]
    with pytest.raises(ProtocolError, match="input was not read within the time limit"):
        call(subject, "draw", np.full(10**5, 1e-5), 1, 0)
    assert drawn(subject) == [1, 1]


def test_lines_without_end_do_not_fill_the_memory(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_UNREAD", 10)
    subject = starts("send({'seq': seq, 'result': [1, 1]})\nwhile True: send({'seq': seq, 'result': [1, 1]})")
    assert drawn(subject) == [1, 1]
    with pytest.raises(ProtocolError):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_a_child_that_the_program_leaves_behind_ends_with_it(starts: Starts, tmp_path: Path) -> None:
    child = "subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)', flag + ' child'])"
    subject = starts(f"{child}\ntime.sleep(60)")
    with pytest.raises(ProtocolError, match="time limit"):
        drawn(subject)
    assert_gone(f"{tmp_path}/flag child")
    assert drawn(subject) == [1, 1]


def test_a_child_that_keeps_the_pipe_open_does_not_hold_the_harness_up(starts: Starts) -> None:
    child = "[sys.executable, '-I', '-S', '-c', 'import time; time.sleep(2)']"
    subject = starts(f"subprocess.Popen({child}, start_new_session=True)\nos._exit(5)")
    with pytest.raises(ProtocolError, match="time limit"):  # its output is still open
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_an_error_is_raised_and_the_program_goes_on(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'error': 'singular matrix'})\ncontinue")
    with pytest.raises(RuntimeError, match=r"^singular matrix$"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_an_error_after_a_refused_question_is_that_of_the_oracle(starts: Starts) -> None:
    subject = starts()
    with pytest.raises(BudgetExceededError, match="costs 1 samples, but only 0 are left") as caught:
        sampled(subject, samples=0)
    assert (caught.value.counter, caught.value.asked, caught.value.left) == ("samples", 1, 0)
    assert sampled(subject) == 0


def test_a_question_that_the_oracle_does_not_offer_is_refused(starts: Starts) -> None:
    subject = starts("reply = ask('enumerate', prompt=0)\nsend({'seq': seq, 'error': reply['refused']})\ncontinue")
    oracle = literal_oracle(small_problem(0), seed=0)
    while (prompt := oracle.prompt()) != 0:
        pass
    with pytest.raises(QuestionRefusedError, match="full-table model"):
        call(subject, "softmax_sample", oracle, prompt, LinearScore(np.zeros(3)), multiplier=1.0, failure=0.5, seed=0)
    assert drawn(subject) == [1, 1]


def test_when_the_oracle_breaks_the_next_run_has_a_fresh_process(starts: Starts) -> None:
    class Broken(OneText):
        def sample(self, prompt: str, count: int) -> Responses:
            raise KeyboardInterrupt

    subject = starts()
    with pytest.raises(KeyboardInterrupt):
        call(subject, "softmax_sample", Broken(), "", LinearScore(np.zeros(1)), multiplier=1.0, failure=0.5, seed=0)
    assert drawn(subject) == [1, 1]


def test_a_result_of_another_form_breaks_the_contract(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'result': [[0.5]]})\ncontinue")
    with pytest.raises(ProtocolError, match="draw broke the contract"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_what_is_written_to_standard_error_is_no_failure(starts: Starts) -> None:
    assert drawn(starts("sys.stderr.write('chatter' * 10**5)"), count=3) == [1, 1, 1]


def test_what_was_written_to_standard_error_is_shown_with_a_failure(starts: Starts) -> None:
    with pytest.raises(ProtocolError, match="its standard error ends: out of luck"):
        drawn(starts("sys.exit('out of luck')"))


BAD_HELLOS: dict[str, tuple[dict[str, Any], str]] = {
    "output before hello": ({"before_hello": "write('ready\\n')"}, "line is 'ready"),
    "wrong version": ({"version": 1}, "protocol is 1"),
    "no hello": ({"before_hello": "send({'goodbye': 1}); sys.exit(0)"}, "hello is"),
    "exit": ({"before_hello": "sys.exit('no licence')"}, "exit code 1; its standard error ends: no licence"),
    "unknown function": (
        {"before_hello": "send({'hello': {'protocol': 2, 'name': 'x', 'provides': ['fly']}})"},
        "provides is",
    ),
    "no name": ({"before_hello": "send({'hello': {'protocol': 2, 'provides': []}})"}, "name is None"),
    "approximation": (
        {"before_hello": "send({'hello': {'protocol': 2, 'name': 'x', 'provides': [], 'approximation': '2'}})"},
        "approximation is '2'",
    ),
    "hang": ({"before_hello": "time.sleep(60)"}, "time limit"),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_a_program_without_a_proper_hello_is_not_verified_at_all(
    starts: Starts, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "hang":
        monkeypatch.setattr(process, "START_LIMIT", 0.5)
    given, sentence = BAD_HELLOS[name]
    with pytest.raises(HandshakeError, match=f"said no proper hello: .*{sentence}"):
        starts(**given)


def test_a_program_that_says_hello_only_once_fails_every_run_after_its_fault(starts: Starts) -> None:
    subject = starts("sys.exit(0)", before_hello="os.path.exists(flag) and sys.exit(4)")
    with pytest.raises(ProtocolError, match="exit code 0"):
        drawn(subject)
    for _ in range(2):
        with pytest.raises(ProtocolError, match=r"said no proper hello: .*exit code 4") as caught:
            drawn(subject)
        assert caught.value.final


def test_a_program_that_is_not_there_is_not_verified_at_all(tmp_path: Path) -> None:
    with pytest.raises(HandshakeError, match="did not start"):
        process_subject(str(tmp_path / "nothing"))


@pytest.mark.parametrize("command", ["", "   ", "program 'half"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(ArgumentError, match=r"^command is"):
        process_subject(command)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_program_that_nobody_closes_ends_with_the_subject(starts: Starts, tmp_path: Path) -> None:
    starts()
    command = shlex.join([sys.executable, str(tmp_path / "program.py"), str(tmp_path / "other flag")])
    subject = process_subject(command)
    assert len(running("other flag")) == 1
    del subject
    assert_gone(f"{tmp_path}/other flag")


def test_values_of_tokens_through_the_server_are_those_of_the_reference(served: Subject) -> None:
    layers = [np.log(np.array([[0.25, 0.75]])), np.array([[0.0, -np.inf], [math.log(0.5), math.log(0.5)]])]
    rewards = np.array([[0.0, 1.0, 0.5, -0.25]])
    expected = call(reference, "soft_q", layers, rewards, 0.5)
    result = call(served, "soft_q", layers, rewards, 0.5)
    assert [layer.shape for layer in result] == [(1, 2), (2, 2)]
    for one, other in zip(result, expected, strict=True):
        np.testing.assert_array_equal(one, other)
