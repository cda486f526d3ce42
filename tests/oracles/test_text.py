"""The text oracle refuses what it does not offer, without a charge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spanver.errors import QuestionRefusedError
from spanver.oracle import Ledger
from spanver.oracles.metered import MeteredOracle
from spanver.oracles.text import text_oracle
from spanver.parameter_sets import Ball
from spanver.values import FloatArray


class TextOfOneLetter:
    """The least that a text oracle asks of a text problem."""

    dimension, beta, radius, shape, reward_range = 1, 0.5, 1.0, Ball, 1.0
    prompts, prompt_law, uniforms_per_response = ("say",), np.ones(1), 1

    def draw(self, prompt: str, uniforms: FloatArray) -> list[str]:
        return ["a" if uniform < 0.5 else "b" for uniform in uniforms[:, 0]]

    def features(self, prompt: str, texts: list[str]) -> FloatArray:
        return np.array([[float(text == "a")] for text in texts])

    def mean_rewards(self, prompt: str, texts: list[str]) -> FloatArray:
        return np.array([float(text == "a") for text in texts])


@pytest.mark.parametrize("ask", [lambda o, x: o.sample(x, 4, theta=np.zeros(1)), lambda o, x: o.enumerate(x)])
def test_queries_that_the_text_oracle_refuses_are_not_charged(ask: Callable[[MeteredOracle, Any], Any]) -> None:
    oracle = text_oracle(TextOfOneLetter(), seed=0)  # type: ignore[arg-type]
    prompt = oracle.prompt()
    with pytest.raises(QuestionRefusedError):
        ask(oracle, prompt)
    assert oracle.ledger == Ledger(0, 0, 0)
