"""Samplers of finite laws in other styles, all of them right, are not accused of anything (R6, R7)."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from spanver.subjects.contract import Subject
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.profiles import PROFILES
from spanver.verification.selection import make_check


def choices(probabilities: Any, count: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(len(probabilities)), weights=probabilities.tolist(), k=count)


def bisected(weights: Any, count: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    sums = list(accumulate(float(weight) / float(max(weights)) for weight in weights))
    return [bisect(sums, generator.random() * sums[-1]) for _ in range(count)]


def counted(probabilities: Any, count: int, seed: int) -> list[int]:
    generator = np.random.default_rng(seed)
    law = np.asarray(probabilities, dtype=np.float64)
    outcomes = np.repeat(np.arange(len(law)), generator.multinomial(count, law / law.sum()))
    generator.shuffle(outcomes)
    return [int(each) for each in outcomes]


def raced(weights: Any, count: int, seed: int) -> list[int]:
    clocks = np.random.default_rng(seed).exponential(size=(count, len(weights)))
    with np.errstate(divide="ignore"):
        return [int(each) for each in np.argmin(np.log(clocks) - np.log(weights), axis=1)]


def perturbed(logits: Any, count: int, seed: int) -> list[int]:
    uniforms = np.random.default_rng(seed).random((count, len(logits)))
    return [int(each) for each in np.argmax(logits - np.log(-np.log1p(-uniforms)), axis=1)]


def row_by_row(probabilities: Any, count: int, seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.choice(len(row), size=count, p=row / row.sum()).tolist() for row in probabilities]


def one_by_one(weights: Any, count: int, seed: int) -> list[int]:
    generator, left, found = random.Random(seed), [float(weight) for weight in weights], []
    for _ in range(count):
        found += generator.choices(range(len(left)), weights=[weight / max(left) for weight in left])
        left[found[-1]] = 0.0
    return found


STYLES: dict[str, tuple[str, Callable[..., Any]]] = {
    "choices": ("draw", choices),
    "counted": ("draw", counted),
    "bisected": ("draw_weights", bisected),
    "raced": ("draw_weights", raced),
    "perturbed": ("draw_logits", perturbed),
    "row by row": ("draw_batch", row_by_row),
    "one by one": ("draw_distinct", one_by_one),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_right_sampler_is_accused_of_nothing(style: str) -> None:
    function, sampler = STYLES[style]
    judged: list[Verdict] = []
    for each in find_properties():
        if each.needs == {function}:
            subject = Subject(style, {function: sampler})
            check = make_check(subject, each.name, each.guarantees, profile="quick", alpha=1e-6, seed=len(judged))
            # A small part of the profile: what is judged are all forms in which laws are passed.
            check.profile, check.discrepancy, check.tested = replace(PROFILES["quick"], examples=8), 0.1, 4
            each.test(check)
            judged.append(check.finding.verdict)
    assert judged == [Verdict.HOLDS] * len(judged)
    assert len(judged) >= 2
