"""What a property is given: a way to call the subject, to search instances, and to gather evidence.

A property is a plain function of a `Check` and of an instance. Hypothesis searches the instances, and never the luck:
all seeds are derived by hash from (entropy, property, instance, purpose), so a failing instance replays exactly and a
fresh entropy is a new experiment (mathematics.md, section 6).

*Exact* properties (`@instances`) assert. *Statistical* ones (`@experiments`) return an `Experiment`: how to observe,
and the e-value of what was observed. A fixed number of instances is tested, each with its share of the false-alarm
budget and with the sample size that its discrepancy needs; e-values may be looked at any time, so gross faults die
early. Only when a violation is decided does Hypothesis look for a smaller instance, on fresh luck.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, TypeAlias

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from spanver.errors import BudgetExceededError, ContractError, ProtocolError, ViolationError
from spanver.evidence import log_e_law, log_e_mean, min_samples_law, min_samples_mean
from spanver.evidence.e_values import MOST_ENUMERATED
from spanver.oracle import Budget
from spanver.subjects.contract import SpannerResult, Subject, result_of
from spanver.validation import require
from spanver.values import FloatArray
from spanver.verdicts import Verdict
from spanver.verification.profiles import Profile
from spanver.verification.recording import RecordingOracle, handed_out

__all__ = ["ENOUGH", "Check", "Experiment", "Finding", "experiments", "instances"]

ENOUGH = Budget(samples=10**7, rewards=10**7, enumerated=10**7)
"""What no correct subject comes near on the instances of a property: whoever asks for more is stopped, and violated."""
FIRST_LOOK = 64  # observations; every later look has four times as many
SHRINKS = 8  # instances tried to find a smaller one for a statistical violation,
SHRINK_OBSERVATIONS = 2**15  # and observations, after which no further one is begun


@dataclass(frozen=True)
class Experiment:
    """A statistical claim about one instance.

    Attributes
    ----------
    observe : callable
        `observe(count, seed)`: that many further observations.
    log_e : callable
        Logarithm of the e-value of all observations so far, against the guarantee.
    samples : int
        Observations after which a violation of the discrepancy demanded was seen with probability 0.99.
    seen : callable
        What was observed beside what was claimed, in words.
    """

    observe: Callable[[int, int], Sequence[Any]]
    log_e: Callable[[Sequence[Any]], float]
    samples: int
    seen: Callable[[Sequence[Any]], str]


@dataclass
class Finding:
    """What a property came to: plain data.

    Attributes
    ----------
    property : str
        Name of the property.
    guarantees : tuple of str
    verdict : Verdict
    kind : str
        `exact` or `statistical`.
    examples : int
        Instances on which the subject was run before the verdict.
    alpha_spent : float
        Share of the false-alarm budget; 0 for exact properties.
    power : float or None
        The violation that would have been seen with probability 0.99, for statistical ones.
    slack : float or None
        Largest ratio of what was measured to its bound.
    cause, message : str
        Of the violation, if any.
    counterexample : mapping or None
        The smallest instance found, as plain data.
    seconds : float
    """

    property: str
    guarantees: tuple[str, ...]
    verdict: Verdict = Verdict.UNDECIDED
    kind: str = "exact"
    examples: int = 0
    alpha_spent: float = 0.0
    power: float | None = None
    slack: float | None = None
    cause: str = ""
    message: str = ""
    counterexample: Mapping[str, Any] | None = None
    seconds: float = 0.0


Body: TypeAlias = Callable[..., Any]


@dataclass
class Check:
    """One property at work on one subject.

    Attributes
    ----------
    subject : Subject
    name : str
        Of the property.
    guarantees : tuple of str
    profile : Profile
    entropy : int
    alpha : float
        Of one statistical test: the share of one instance of one property.
    discrepancy, tested : float, int
        What statistical tests must detect, and on how many instances.
    """

    subject: Subject
    name: str
    guarantees: tuple[str, ...]
    profile: Profile
    entropy: int
    alpha: float
    discrepancy: float
    tested: int
    finding: Finding = field(init=False)
    _digest: str = ""
    _ratio: float | None = None
    _enough: int | None = None
    _observed_again: int = 0  # while a smaller instance was looked for
    _premises: tuple[int, int] = (0, 0)  # how often one was tried, and how often it held

    def __post_init__(self) -> None:
        self.finding = Finding(self.name, self.guarantees)

    def call(self, function: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of the subject; its result has the form of the contract.

        Raises
        ------
        ViolationError
            If it raises anything but the oracle's own `BudgetExceededError`, or breaks the contract.
        """
        for argument in (*arguments, *named.values()):
            if isinstance(argument, np.ndarray):
                argument.setflags(write=False)
        try:
            result = result_of(function, self.subject.functions[function](*arguments, **named))
            if isinstance(result, SpannerResult):
                _require_drawn(function, result, arguments)
            return result
        except (ViolationError, hypothesis.errors.HypothesisException):
            raise
        except BudgetExceededError as error:
            if any(_is_limited(argument) for argument in (*arguments, *named.values())):
                raise  # the property set a budget, to see what becomes of it
            raise ViolationError(f"{function} asked far more than it has to: {error}", "raised") from error
        except ProtocolError as error:
            raise ViolationError(str(error), "protocol", final=error.final) from error
        except ContractError as error:
            raise ViolationError(str(error), "contract") from error
        except (Exception, SystemExit) as error:
            words = " ".join(str(error).split())
            raise ViolationError(f"{function} raised {type(error).__name__}: {words}", "raised") from error

    def seed(self, purpose: str, replicate: int = 0) -> int:
        """Seed for one purpose on the instance at hand, below 2**52: a double holds it and those that follow it."""
        text = f"{self.entropy}/{self.name}/{self._digest}/{purpose}/{replicate}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 12

    def slack(self, measured: float, bound: float) -> None:
        """Say how near a bound came on the instance at hand."""
        ratio = measured / bound if bound > 0 else float(measured > 0)
        if math.isfinite(ratio):
            self._ratio = max(ratio, self._ratio or 0.0)

    def premise(self, held: bool) -> None:
        """Say whether the premise of a guarantee held; where it never did, nothing is decided."""
        self._premises = (self._premises[0] + 1, self._premises[1] + held)

    def begin(self, digest: str) -> None:
        """Turn to the next instance."""
        self._digest, self._ratio = digest, None

    def finish(self) -> None:
        """Keep the slack of an instance that passed, and steer the search of an exact property towards more."""
        if self._ratio is not None:
            self.finding.slack = max(self._ratio, self.finding.slack or 0.0)
            hypothesis.target(self._ratio)

    def law_experiment(self, observe: Callable[[int, int], Sequence[Any]], law: FloatArray) -> Experiment:
        """Experiment: observations, which are indices, are independent with this law, up to the discrepancy.

        At most 8 outcomes, so that one may look at any time.
        """
        require(len(law) <= MOST_ENUMERATED, "the number of outcomes", len(law), f"at most {MOST_ENUMERATED}")
        samples = min_samples_law(law, self.discrepancy, alpha=self.alpha)

        def seen(drawn: Sequence[Any]) -> str:
            shares = np.bincount(np.asarray(drawn, dtype=np.int64), minlength=len(law)) / len(drawn)
            return f"shares {_rounded(shares)}, and not {_rounded(law)}"

        return Experiment(observe, lambda drawn: log_e_law(drawn, law), samples, seen)

    def mean_experiment(self, observe: Callable[[int, int], Sequence[Any]], bound: float) -> Experiment:
        """Experiment: observations in [0, 1] have a mean of at most `bound`, up to the discrepancy."""
        samples = min_samples_mean(bound, min(self.discrepancy, 1.0 - bound), alpha=self.alpha)

        def seen(drawn: Sequence[Any]) -> str:
            return f"a mean of {float(np.mean(drawn)):.3g}, and not at most {bound:.3g}"

        return Experiment(observe, lambda drawn: log_e_mean(float(np.sum(drawn)), len(drawn), bound), samples, seen)

    def search(self, body: Body, strategies: Mapping[str, st.SearchStrategy[Any]], effort: int = 1) -> None:
        """Search the instances, `effort` times the profile's number of them, for one on which a property fails."""
        __tracebackhide__ = True
        examples = effort * self.profile.examples
        self._run(lambda **instance: body(self, **instance), strategies, examples, self.profile.shrinks)

    def gather(self, body: Body, strategies: Mapping[str, st.SearchStrategy[Any]]) -> None:
        """Test a statistical property on a fixed number of instances."""
        __tracebackhide__ = True
        self.finding.kind = "statistical"
        self.finding.alpha_spent = self.alpha * self.tested
        self.finding.power = self.discrepancy
        self._run(lambda **instance: self._experiment(body(self, **instance)), strategies, self.tested, SHRINKS)
        if self.finding.examples < self.tested and self.finding.verdict is Verdict.HOLDS:
            self.finding.verdict = Verdict.UNDECIDED
            self.finding.message = f"{self.finding.examples} of {self.tested} instances were tested"

    def shrunk_enough(self) -> bool:
        """Whether the search for a smaller instance has made its observations."""
        return self._observed_again >= SHRINK_OBSERVATIONS

    def _experiment(self, experiment: Experiment) -> None:
        observations: list[Any] = []
        smaller = self._enough is not None
        # A smaller instance that needs far more observations than the one that failed is not worth its time.
        most = experiment.samples if self._enough is None else min(experiment.samples, 2 * self._enough)
        count, look = min(FIRST_LOOK, most), 0
        while len(observations) < most:
            observations.extend(experiment.observe(count, self.seed("observations", look)))
            self._observed_again += count if smaller else 0
            evidence = experiment.log_e(observations)
            if evidence >= -math.log(self.alpha):
                self._enough = min(len(observations), self._enough or len(observations))
                raise ViolationError(
                    f"{experiment.seen(observations)}, after {len(observations)} observations (e-value "
                    f"e^{evidence:.1f}, above 1/alpha = e^{-math.log(self.alpha):.1f})"
                )
            count, look = min(3 * len(observations), most - len(observations)), look + 1

    def _run(
        self,
        body: Callable[..., None],
        strategies: Mapping[str, st.SearchStrategy[Any]],
        examples: int,
        shrinks: int,
    ) -> None:
        __tracebackhide__ = True  # a violation is about the subject, and this frame is not
        started = time.perf_counter()
        search = _Search(self, body, examples, shrinks)
        searched = hypothesis.given(st.fixed_dictionaries(dict(strategies)))(search.offer)
        searched = hypothesis.settings(
            max_examples=4 * examples,  # instances may come twice; of the others no more than asked for are run
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
                hypothesis.seed(self.seed("search"))(searched)()
            search.raise_smallest()
            if search.error is not None:
                raise search.error
        except _FailingInstanceError as failing:
            self.finding.verdict = Verdict.VIOLATED
            self.finding.cause, self.finding.message = failing.violation.cause, str(failing.violation)
            self.finding.counterexample = failing.instance
            raise ViolationError(f"{failing.violation}; smallest instance: {json.dumps(failing.instance)}") from None
        except Exception as error:
            # Neither side is accused: the subject did what the property has no words for, or the property is wrong.
            self.finding.message = f"the property ended in {type(error).__name__}: {error}"
            raise
        else:
            tried, held = self._premises
            self.finding.verdict = Verdict.HOLDS if held or not tried else Verdict.UNDECIDED
            self.finding.message = "" if held or not tried else f"its premise held in none of {tried} cases"
        finally:
            self.finding.seconds = time.perf_counter() - started


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
        if self.shrunk >= self.shrinks or self.check.shrunk_enough():
            return False
        return not any(each.violation.final for each in self.failures.values())

    def _fail(self, digest: str) -> None:
        # One place raises, whatever failed, so that the search shrinks across kinds of failure.
        raise self.failures[digest]


class _EnoughInstances(BaseException):
    """Ends a search that has had its turns; Hypothesis takes only what is an `Exception` for a failure."""


class _FailingInstanceError(Exception):
    """Tells Hypothesis that an instance fails."""

    def __init__(self, violation: ViolationError, instance: Mapping[str, Any]) -> None:
        super().__init__()
        self.violation = violation
        self.instance = instance


def _require_drawn(function: str, result: SpannerResult, arguments: tuple[Any, ...]) -> None:
    """Refuse pairs that the oracle of a call never handed out: nothing could be said about them."""
    for oracle in arguments:
        if isinstance(oracle, RecordingOracle):
            known = handed_out(oracle.asked)
            for names in (result.first, result.second):
                strange = next((each for each in zip(result.prompts, names, strict=True) if each not in known), None)
                if strange is not None:
                    words = f"response {strange[1]} to prompt {strange[0]} was never drawn"
                    raise ContractError(f"{function} broke the contract: {words}")


def _is_limited(argument: Any) -> bool:
    """Whether an argument is an oracle whose budget the property has set."""
    budget = getattr(argument, "budget", None)
    return isinstance(budget, Budget) and budget not in (ENOUGH, Budget())


def _rounded(law: FloatArray) -> list[float]:
    return [round(float(share), 3) for share in law]


def _sentence(error: AssertionError) -> str:
    """What an assertion says, without what pytest adds to it."""
    return str(error).partition("\n")[0] or "an assertion failed"


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
            check.search(body, strategies, effort)

        return _named_as(body, searched)

    return decorate


def experiments(**strategies: st.SearchStrategy[Any]) -> Callable[[Body], Callable[[Check], None]]:
    """Make a statistical property of a function of a check and of an instance, which returns an `Experiment`."""

    def decorate(body: Body) -> Callable[[Check], None]:
        def gathered(check: Check) -> None:
            __tracebackhide__ = True
            check.gather(body, strategies)

        gathered.statistical = True  # type: ignore[attr-defined]  # the plugin runs these first or last
        return _named_as(body, gathered)

    return decorate


def _named_as(body: Body, test: Callable[[Check], None]) -> Callable[[Check], None]:
    # Not functools.wraps: pytest would look for fixtures of the names of the instance's parts.
    test.__name__, test.__qualname__ = body.__name__, body.__qualname__
    test.__doc__, test.__module__ = body.__doc__, body.__module__
    return test


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
