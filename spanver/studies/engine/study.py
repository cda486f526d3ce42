"""What a study is made of: points, each a pure function of learner, size and seed, and the claims they decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from spanver.evidence import Slope, compare_with_band
from spanver.studies.entrants import STYLES
from spanver.validation import require_one_of
from spanver.values import FloatArray
from spanver.verdicts import Verdict

PROFILES = ("quick", "full")

Numbers: TypeAlias = Mapping[str, float | int | None]
"""What was measured at a point; None is what was not reached."""


@dataclass(frozen=True, order=True)
class Point:
    """One run of one learner, or one search for the smallest run that suffices.

    Attributes
    ----------
    study, learner : str
        The learner is a key of `STYLES`.
    size : float
        Place on the ladder, in the study's own unit.
    seed : int
        Index of the seed in a study's table; when it is measured, a seed that is derived from it and from the run's.
    """

    study: str
    learner: str
    size: float
    seed: int

    def __post_init__(self) -> None:
        # Before anything is measured: a curve without a style could not be drawn hours later.
        require_one_of("learner", self.learner, STYLES)


def ladder(study: str, learners: Iterable[str], sizes: Iterable[float], seeds: int) -> tuple[Point, ...]:
    """Points of a study: every learner at every size, with as many seeds."""
    sizes = tuple(sizes)
    return tuple(
        Point(study, learner, float(size), seed) for learner in learners for size in sizes for seed in range(seeds)
    )


@dataclass(frozen=True)
class Measurement:
    """A point with what was measured there."""

    point: Point
    numbers: Numbers


@dataclass(frozen=True)
class Claim:
    """What a study says about one sentence of the paper.

    Attributes
    ----------
    guarantee : str
        Id in mathematics.md.
    claim : str
    verdict : Verdict or None
        None for what is only shown, which never counts.
    slope : Slope or None
        With its interval, where the claim is about one.
    band : tuple of float or None
        Slopes that the claim allows.
    points : int
        Points that it rests on.
    note : str
    """

    guarantee: str
    claim: str
    verdict: Verdict | None
    slope: Slope | None = None
    band: tuple[float, float] | None = None
    points: int = 0
    note: str = ""


def slope_claim(
    guarantee: str,
    claim: str,
    fitted: Slope | None,
    band: tuple[float, float] | None,
    points: int,
    note: str = "",
    *,
    premise: bool = True,
) -> Claim:
    """Claim about a slope: compared with its band, only shown where it has none, undecided without slope or premise."""
    verdict = None
    if band is not None:
        verdict = compare_with_band(fitted, band) if fitted and premise else Verdict.UNDECIDED
    return Claim(guarantee, claim, verdict, fitted, band, points, note)


@dataclass(frozen=True)
class Series:
    """One curve of a figure: sizes, and per size the values of all seeds.

    Attributes
    ----------
    learner : str
    sizes : array, shape (m,)
    values : array, shape (seeds, m)
        NaN where it was not reached.
    """

    learner: str
    sizes: FloatArray
    values: FloatArray


@dataclass(frozen=True)
class Study:
    """A headline result as a ladder of sizes and independent seeds.

    Attributes
    ----------
    name, title : str
    guarantees : tuple of str
    statement : str
        What is claimed, and whose claim it is.
    points : callable
        `points(profile)` for `quick` and `full`.
    measure : callable
        Numbers of a point; nothing else decides them.
    judge : callable
        Claims, from everything measured.
    draw : callable
        `draw(figure, measured)` on an empty Matplotlib figure.
    caption : str
        How the points were found: one rule for all learners.
    """

    name: str
    title: str
    guarantees: tuple[str, ...]
    statement: str
    points: Callable[[str], tuple[Point, ...]]
    measure: Callable[[Point], Numbers]
    judge: Callable[[Sequence[Measurement]], tuple[Claim, ...]]
    draw: Callable[[Any, Sequence[Measurement]], None]
    caption: str


def table(measured: Sequence[Measurement], learner: str, name: str) -> Series:
    """Numbers of one name of one learner, as sizes by seeds; what was not reached or not measured is NaN."""
    mine = [each for each in measured if each.point.learner == learner]
    sizes = sorted({each.point.size for each in mine})
    seeds = sorted({each.point.seed for each in mine})
    values = np.full((len(seeds), len(sizes)), np.nan)
    for each in mine:
        number = each.numbers.get(name)
        if number is not None:
            values[seeds.index(each.point.seed), sizes.index(each.point.size)] = float(number)
    return Series(learner, np.array(sizes, dtype=np.float64), values)
