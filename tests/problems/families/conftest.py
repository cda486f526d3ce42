"""Fixtures of the text problem."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from text_cases import SMALL

from spanver.problems.families import text
from spanver.problems.families.text import TextProblem, text_problem


@pytest.fixture(scope="module", autouse=True)
def openings_are_found_once() -> Iterator[None]:
    """Openings depend on their number alone and are expensive to find; the fresh process of a test finds them anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_frequent_openings", cache(text._frequent_openings))
        yield


@pytest.fixture(scope="module")
def problem() -> TextProblem:
    return text_problem(0, **SMALL)


@pytest.fixture(scope="module")
def raw(problem: TextProblem) -> TextProblem:
    return text_problem(0, reward="raw", beta=0.2, **SMALL)
