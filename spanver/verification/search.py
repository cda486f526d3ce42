"""How instances are searched: the driver of Hypothesis, the e-value loop, and the decorators of properties.

*Exact* properties (`@instances`) assert. *Statistical* ones (`@experiments`) return an `Experiment`: how to observe,
and the e-value of what was observed. A fixed number of instances is tested, each with its part of the false-alarm
budget and with the sample size that its discrepancy needs; e-values may be looked at any time, so gross faults die
early. Only when a violation is decided does Hypothesis look for a smaller instance, with fresh randomness.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, TypeAlias

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from spanver.errors import ViolationError
from spanver.verdicts import Verdict
from spanver.verification.check import Check, Experiment

__all__ = ["experiments", "gather", "instances", "search"]

FIRST_LOOK = 64  # observations; every later look has four times as many
SHRINKS = 8  # instances tried to find a smaller one for a statistical violation,
SHRINK_OBSERVATIONS = 2**15  # and observations, after which no further one is begun

Body: TypeAlias = Callable[..., Any]
Strategies: TypeAlias = Mapping[str, st.SearchStrategy[Any]]


def search(check: Check, body: Body, strategies: Strategies, effort: int = 1) -> None:
    """Search the instances, `effort` times the profile's number of them, for one on which a property fails."""
    __tracebackhide__ = True
    examples = effort * check.profile.examples
    _run(_Search(check, lambda **instance: body(check, **instance), examples, check.profile.shrinks), strategies)


def gather(check: Check, body: Body, strategies: Strategies) -> None:
    """Test a statistical property on a fixed number of instances."""
    __tracebackhide__ = True
    finding, looks = check.finding, _Looks(check)
    finding.kind = "statistical"
    finding.alpha_spent = check.alpha * check.tested
    finding.detectable = check.discrepancy
    _run(
        _Search(check, lambda **instance: looks.test(body(check, **instance)), check.tested, SHRINKS, looks.are_spent),
        strategies,
    )
    if finding.examples < check.tested and finding.verdict is Verdict.HOLDS:
        finding.verdict = Verdict.UNDECIDED
        finding.message = f"{finding.examples} of {check.tested} instances were tested"


def instances(effort: int = 1, /, **strategies: st.SearchStrategy[Any]) -> Callable[[Body], Callable[[Check], None]]:
    """Make an exact property of a function of a check and of an instance, which asserts.

    Parameters
    ----------
    effort : int
        How many times the profile's number of instances are searched: more where violations are rare.
    **strategies : strategy
        Parts of the instance.
    """

    def decorate(body: Body) -> Callable[[Check], None]:
        def searched(check: Check) -> None:
            __tracebackhide__ = True
            search(check, body, strategies, effort)

        return _named_as(body, searched)

    return decorate


def experiments(**strategies: st.SearchStrategy[Any]) -> Callable[[Body], Callable[[Check], None]]:
    """Make a statistical property of a function of a check and of an instance, which returns an `Experiment`."""

    def decorate(body: Body) -> Callable[[Check], None]:
        def gathered(check: Check) -> None:
            __tracebackhide__ = True
            gather(check, body, strategies)

        gathered.statistical = True  # type: ignore[attr-defined]  # the plugin runs these first or last
        return _named_as(body, gathered)

    return decorate


def _named_as(body: Body, test: Callable[[Check], None]) -> Callable[[Check], None]:
    # Not functools.wraps: pytest would look for fixtures of the names of the instance's parts.
    test.__name__, test.__qualname__ = body.__name__, body.__qualname__
    test.__doc__, test.__module__ = body.__doc__, body.__module__
    return test


@dataclass
class _Looks:
    """The e-value loop of a statistical property: it looks at samples that grow, and at no more than are worth it."""

    check: Check
    enough: int | None = None  # observations that decided the smallest failing instance so far
    while_shrinking: int = 0

    def test(self, experiment: Experiment) -> None:
        observations: list[Any] = []
        shrinking = self.enough is not None
        # A smaller instance that needs far more observations than the one that failed is not worth its time.
        most = experiment.samples if self.enough is None else min(experiment.samples, 2 * self.enough)
        count, look = min(FIRST_LOOK, most), 0
        while len(observations) < most:
            observations.extend(experiment.observe(count, self.check.seed("observations", look)))
            self.while_shrinking += count if shrinking else 0
            evidence, threshold = experiment.log_e(observations), -math.log(self.check.alpha)
            if evidence >= threshold:
                self.enough = min(len(observations), self.enough or len(observations))
                raise ViolationError(
                    f"{experiment.seen(observations)}, after {len(observations)} observations (e-value "
                    f"e^{evidence:.1f}, above 1/alpha = e^{threshold:.1f})"
                )
            count, look = min(3 * len(observations), most - len(observations)), look + 1

    def are_spent(self) -> bool:
        return self.while_shrinking >= SHRINK_OBSERVATIONS


@dataclass
class _Search:
    """Which of the instances that Hypothesis offers are run, and what became of them.

    Each is run once; after the first failure only so many more as it takes to find a small one; and what failed fails
    again when it is offered again.
    """

    check: Check
    body: Callable[..., None]
    examples: int
    shrinks: int
    is_spent: Callable[[], bool] = lambda: False
    failures: dict[str, _FailingInstanceError] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    shrunk: int = 0
    error: Exception | None = None

    def offer(self, instance: Mapping[str, Any]) -> None:
        described = plain(instance)
        digest = hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()
        if digest in self.failures:
            self._fail(digest)
        if digest in self.passed:
            return
        self.check.begin(digest)
        if self.failures:
            self.shrunk += 1
        else:
            self.check.finding.examples += 1
        try:
            self.body(**instance)
        except AssertionError as error:
            violation = error if isinstance(error, ViolationError) else ViolationError(_sentence(error))
            self.failures[digest] = _FailingInstanceError(violation, described)
        except hypothesis.errors.HypothesisException:
            self.check.finding.examples -= not self.failures  # the instance was rejected, and does not count
            raise
        except Exception as error:  # left to Hypothesis it would be tried again, and could be forgotten
            self.error = error
            raise _EnoughInstances from error
        else:
            self.passed.add(digest)
            self.check.finish()
        if not self._has_turns_left():
            raise _EnoughInstances
        if digest in self.failures:
            self._fail(digest)

    def raise_smallest(self) -> None:
        """Raise the failure with the shortest description, the last of several; none if nothing failed."""
        if self.failures:
            raise min(reversed(self.failures.values()), key=lambda failing: len(json.dumps(failing.instance)))

    def _has_turns_left(self) -> bool:
        if not self.failures:
            return self.check.finding.examples < self.examples
        if self.shrunk >= self.shrinks or self.is_spent():
            return False
        return not any(each.violation.final for each in self.failures.values())

    def _fail(self, digest: str) -> None:
        # One place raises, whatever failed, so that the search shrinks across kinds of failure.
        raise self.failures[digest]


def _run(search: _Search, strategies: Strategies) -> None:
    __tracebackhide__ = True  # a violation is about the subject, and this frame is not
    check, finding, started = search.check, search.check.finding, time.perf_counter()
    searched = hypothesis.given(st.fixed_dictionaries(dict(strategies)))(search.offer)
    searched = hypothesis.settings(
        max_examples=4 * search.examples,  # instances may come twice; of the others no more than asked for are run
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(searched)
    try:
        with suppress(_EnoughInstances):
            hypothesis.seed(check.seed("search"))(searched)()
        search.raise_smallest()
        if search.error is not None:
            raise search.error
    except _FailingInstanceError as failing:
        finding.verdict = Verdict.VIOLATED
        finding.cause, finding.message = failing.violation.cause, str(failing.violation)
        finding.counterexample = failing.instance
        raise ViolationError(f"{failing.violation}; smallest instance: {json.dumps(failing.instance)}") from None
    except Exception as error:
        # Neither side is accused: the subject did what the property has no words for, or the property is wrong.
        finding.message = f"the property ended in {type(error).__name__}: {error}"
        raise
    else:
        tried, held = check.premises
        finding.verdict = Verdict.HOLDS if held or not tried else Verdict.UNDECIDED
        finding.message = "" if held or not tried else f"its premise held in none of {tried} cases"
    finally:
        finding.seconds = time.perf_counter() - started


class _EnoughInstances(BaseException):
    """Ends a search that has had its turns; Hypothesis takes only what is an `Exception` for a failure."""


class _FailingInstanceError(Exception):
    """Tells Hypothesis that an instance fails."""

    def __init__(self, violation: ViolationError, instance: Mapping[str, Any]) -> None:
        super().__init__()
        self.violation = violation
        self.instance = instance


def _sentence(error: AssertionError) -> str:
    """What an assertion says, without what pytest adds to it."""
    return str(error).partition("\n")[0] or "an assertion failed"


def plain(value: Any) -> Any:  # noqa: PLR0911 (a kind of value a line)
    """Plain data of an instance, as JSON has it: what is shown of a counterexample, and what seeds are derived from."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if callable(value):
        return getattr(value, "__name__", str(value))
    return value
