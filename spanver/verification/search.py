"""The search for failing instances: the decorators of properties, and the driver of Hypothesis behind them.

*Exact* properties (`@instances`) assert. *Statistical* ones (`@experiments`) return an `Experiment`; a fixed number of
instances is tested, each with its part of the false-alarm budget. Only when a violation is decided does Hypothesis look
for a smaller instance, with fresh randomness.

A property is run on its designed instances first (`spanver.verification.design`), and then on what Hypothesis finds.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from spanver.errors import NotJudgedError, UndecidedError, ViolationError
from spanver.validation import require
from spanver.verdicts import Verdict
from spanver.verification.calls import Made, in_words, transcript_lines
from spanver.verification.check import Check
from spanver.verification.design import Design, design_of
from spanver.verification.experiment import ExperimentLoop
from spanver.verification.finding import Fault, plain
from spanver.verification.rendering import finding_lines

SHRINKS = 8  # instances on which a smaller one is looked for after a statistical violation

Body: TypeAlias = Callable[..., Any]
Strategies: TypeAlias = Mapping[str, st.SearchStrategy[Any]]


def instances(effort: int = 1, /, **strategies: st.SearchStrategy[Any]) -> Callable[[Body], Callable[[Check], None]]:
    """Decorate a function of a check and of an instance, which asserts: an exact property.

    Parameters
    ----------
    effort : int
        Multiple of the profile's number of instances that is searched: above 1 where violations are rare.
    **strategies : strategy
        Of each part of the instance.

    Examples
    --------
    >>> from hypothesis import strategies as st
    >>> @instances(number=st.integers(0, 9))
    ... def test_digits_are_small(check, number):
    ...     assert number < 10, f"{number} has two digits"
    """

    def decorate(body: Body) -> Callable[[Check], None]:
        def searched(check: Check) -> None:
            __tracebackhide__ = True  # a violation is about the subject, and not about this frame
            examples = effort * check.profile.examples
            test = partial(body, check)
            _run(_Search(check, test, examples, check.profile.shrinks), design_of(searched), strategies)

        return _named_as(body, searched)

    return decorate


def experiments(**strategies: st.SearchStrategy[Any]) -> Callable[[Body], Callable[[Check], None]]:
    """Decorate a function of a check and of an instance, which returns an `Experiment`: a statistical property.

    Parameters
    ----------
    **strategies : strategy
        Of each part of the instance. Default: the designed instances are all that there are.
    """

    def decorate(body: Body) -> Callable[[Check], None]:
        def tested(check: Check) -> None:
            __tracebackhide__ = True
            finding, loop, design = check.finding, ExperimentLoop(check.alpha), design_of(tested)
            count = check.tested if strategies else min(check.tested, len(design.instances))
            finding.kind = "statistical"
            finding.alpha_spent = check.alpha * count
            finding.detectable = check.discrepancy

            def test(**instance: Any) -> None:
                loop.test(body(check, **instance), check.seed)

            _run(_Search(check, test, count, SHRINKS, loop.is_exhausted, loop.forget), design, strategies)
            if finding.examples < count and finding.verdict is Verdict.HOLDS:
                finding.verdict = Verdict.UNDECIDED
                finding.message = f"{finding.examples} of {count} instances were tested"

        tested.statistical = True  # type: ignore[attr-defined]  # `is_statistical` reads it
        return _named_as(body, tested)

    return decorate


def is_statistical(function: object) -> bool:
    """Whether a property is statistical: the decorator `experiments` says so."""
    return bool(getattr(function, "statistical", False))


def _named_as(body: Body, test: Callable[[Check], None]) -> Callable[[Check], None]:
    # Not functools.wraps: pytest would look for fixtures of the names of the instance's parts.
    test.__name__, test.__qualname__ = body.__name__, body.__qualname__
    test.__doc__, test.__module__ = body.__doc__, body.__module__
    return test


@dataclass
class _Search:
    """The instances that Hypothesis offers: which are run, and which passed or failed.

    Each is run once. After the first failure at most `shrinks` more are run, to find a smaller one. An instance that
    failed fails again when it is offered again.
    """

    check: Check
    body: Callable[..., None]
    examples: int
    shrinks: int
    is_spent: Callable[[], bool] = lambda: False
    forget: Callable[[], None] = lambda: None
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
            self._judge(instance)
        except AssertionError as error:
            violation = error if isinstance(error, ViolationError) else ViolationError(_sentence(error))
            self.failures[digest] = _FailingInstanceError(violation, described, self.check.last_call)
        except hypothesis.errors.HypothesisException:
            self.check.finding.examples -= not self.failures  # a rejected instance does not count
            raise
        except Exception as error:  # Hypothesis would try it again, and could forget it
            self.error = error
            raise _EnoughInstances from error
        else:
            self.passed.add(digest)
            self.check.finish()
        if not self._has_turns_left():
            raise _EnoughInstances
        if digest in self.failures:
            self._fail(digest)

    def _judge(self, instance: Mapping[str, Any]) -> None:
        """Run an instance. What calls that took turns violate has to be violated by calls one by one too.

        A right subject may keep something between its queries where other calls find it. The first calls of a function
        need not have shown it.
        """
        try:
            self.body(**instance)
        except AssertionError:
            if not self.check.took_turns:
                raise
            self.check.one_by_one, self.check.took_turns = True, False
            self.forget()
            self.body(**instance)

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
        # One place raises for every kind of failure, so that the search shrinks across kinds.
        raise self.failures[digest]


def _searched(search: _Search, strategies: Strategies) -> Callable[[], None]:
    """Return what offers the instances that Hypothesis finds."""
    searched = hypothesis.given(st.fixed_dictionaries(dict(strategies)))(search.offer)
    searched = hypothesis.settings(
        max_examples=4 * search.examples,  # instances may come twice; at most `examples` different ones are run
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(searched)
    offered: Callable[[], None] = hypothesis.seed(search.check.seed("search"))(searched)
    return offered


def _run(search: _Search, design: Design, strategies: Strategies) -> None:
    __tracebackhide__ = True
    check, finding, started = search.check, search.check.finding, time.perf_counter()
    require(bool(strategies or design.instances), "the instances of a property", 0, "some designed, or a search")
    try:
        with suppress(_EnoughInstances):
            for instance in design.instances:
                with suppress(hypothesis.errors.HypothesisException):  # a subject of another precision may reject one
                    search.offer(instance)
            if strategies:
                with suppress(hypothesis.errors.Unsatisfiable):  # every instance was rejected
                    _searched(search, strategies)()
        search.raise_smallest()
        if search.error is not None:
            raise search.error
        could, could_not, why = check.unjudged
        if could_not and not could:
            raise NotJudgedError(why)
        if finding.examples == 0:
            raise UndecidedError("no instance could be judged")
    except _FailingInstanceError as failing:
        failing.describe(check)
        raise ViolationError("\n".join(finding_lines(finding))) from None
    except NotJudgedError as error:
        finding.not_judged = str(error)
        pytest.skip(f"not judged: {error}")
    except UndecidedError as error:
        finding.message = str(error)
    except Exception as error:
        # Nobody is accused: the subject did what the property does not foresee, or the property is wrong.
        finding.message = f"the property ended in {type(error).__name__}: {error}"
        raise
    else:
        tried, held = check.premises
        finding.verdict = Verdict.HOLDS if held or not tried else Verdict.UNDECIDED
        finding.message = "" if held or not tried else f"its premise held in none of {tried} cases"
    finally:
        finding.seconds = time.perf_counter() - started


class _EnoughInstances(BaseException):
    """Ends a search early: Hypothesis takes only an `Exception` for a failure."""


class _FailingInstanceError(Exception):
    """Reports to Hypothesis that an instance fails."""

    def __init__(self, violation: ViolationError, instance: Mapping[str, Any], call: Made | None) -> None:
        super().__init__()
        self.violation = violation
        self.instance = instance
        self.call = call

    def describe(self, check: Check) -> None:
        """Make the finding of a check that of this failure."""
        finding, violation = check.finding, self.violation
        finding.verdict = Verdict.VIOLATED
        finding.cause, finding.message = violation.cause, str(violation)
        finding.of, finding.observed, finding.expected = violation.of, violation.observed, violation.expected
        finding.shares = violation.shares
        if violation.cause != "guarantee":
            function = violation.function or (self.call.function if self.call else "")
            finding.fault = Fault(function, violation.cause, violation.error_type, violation.where)
        if self.call is not None:
            finding.call = in_words(self.call)
            finding.transcript = transcript_lines(self.call) if check.traced else ()
        finding.counterexample = self.instance


def _sentence(error: AssertionError) -> str:
    """Message of an assertion, without the explanation that pytest adds."""
    return str(error).partition("\n")[0] or "an assertion failed"
