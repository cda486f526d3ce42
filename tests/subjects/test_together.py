"""Many calls in one request give what one call after another gives, or are made one after another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import small_problem

from spanver.errors import BudgetExceededError, SubjectError
from spanver.loading import open_subject
from spanver.oracle import Budget
from spanver.oracles.literal import literal_oracle
from spanver.subjects.contract import Call, Subject, result_of
from spanver.subjects.together import Together
from spanver.values import LinearScore

PROBLEM = small_problem(3)

PURE = """
import numpy as np

class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        generator = np.random.default_rng(seed)
        for _ in range(seed % 5):
            drawn = oracle.sample(prompt, 1 + int(generator.integers(3)))
        if seed == 105:
            raise ValueError("seed 105")
        return oracle.sample(prompt, 3)[int(generator.integers(3))]
"""

SHARED = """
import numpy as np

class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        np.random.seed(seed)
        draws = [oracle.sample(prompt, 1)[0] for _ in range(6)]
        return draws[np.random.randint(6)]
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return f"{name}:subject"

    monkeypatch.chdir(tmp_path)
    return write


def call_of(index: int, samples: int | None = None) -> Call:
    oracle = literal_oracle(PROBLEM, seed=index, budget=Budget(samples=samples))
    plan = {"multiplier": 1.0, "failure": 0.5, "seed": 100 + index}
    return (oracle, oracle.prompt(), LinearScore(np.zeros(3))), plan


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return result_of("softmax_sample", function())
    except (BudgetExceededError, SubjectError) as error:
        return f"{type(error).__name__}: {error}"


Make = Callable[[int], Call]


def alone(subject: Subject, make: Make, count: int) -> list[Any]:
    run = subject.functions["softmax_sample"]
    made = [make(index) for index in range(count)]
    return [(outcome(partial(run, *each[0], **each[1])), each[0][0].ledger) for each in made]


def together(subject: Subject, make: Make, count: int) -> list[Any]:
    assert subject.together is not None
    found = subject.together("softmax_sample", make, count)
    return [(outcome(function), call[0][0].ledger) for call, function in found]


@pytest.mark.parametrize(("name", "source", "is_pure"), [("pure", PURE, True), ("shared", SHARED, False)])
def test_calls_give_together_what_they_give_alone(
    written: Callable[[str, str], str], name: str, source: str, is_pure: bool
) -> None:
    subject = open_subject(written(name, source), None)
    try:
        assert isinstance(subject.together, Together)
        for make in (call_of, partial(call_of, samples=7)):
            assert together(subject, make, 20) == alone(subject, make, 20)
        assert subject.together._same == {"softmax_sample": is_pure}
    finally:
        subject.close()
