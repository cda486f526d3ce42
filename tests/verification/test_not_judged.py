"""What an oracle need not offer is not judged."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from spanver.errors import QuestionRefusedError
from spanver.verification.collection import PACKAGE
from spanver.verification.selection import make_check
from spanver.zoo.mutant import mutated
from spanver.zoo.oracle import LITERAL, Altered


def weak(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    if theta is not None:
        raise QuestionRefusedError("no strong sampling here")
    return self.oracle.sample(prompt, count)


def test_an_oracle_without_strong_sampling_is_not_judged_on_its_law() -> None:
    module = import_module(f"{PACKAGE}.test_oracle_answers")
    strong = module.test_strong_samples_of_a_literal_oracle_have_the_law_of_theta
    subject = mutated(LITERAL("weak", "refuses strong samples", "O2", sample=weak))
    check = make_check(subject, strong.__name__, ("O2",), profile="quick", alpha=1e-6, seed=1)
    with pytest.raises(pytest.skip.Exception, match="offers no strong sampling"):
        strong(check)
    assert check.finding.not_judged == "the oracle offers no strong sampling"
