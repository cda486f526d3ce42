"""What a property is given: `Check` calls the subject, derives seeds, and keeps what was found.

A property is a plain function of a `Check` and of an instance. Hypothesis searches the instances, and never the
randomness: all seeds are derived by hash from (run seed, property, instance, purpose), so a failing instance replays
exactly, and a fresh run seed is a new experiment (mathematics.md, section 6). The search for instances is in
`spanver.verification.search`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import numpy as np

from spanver.errors import (
    BudgetExceededError,
    ContractError,
    ProtocolError,
    SubjectError,
    ViolationError,
    raised,
    where_raised,
)
from spanver.oracle import Budget
from spanver.subjects.contract import Call as SubjectCall
from spanver.subjects.contract import Subject, result_of
from spanver.subjects.results import SpannerResult
from spanver.verification.calls import Made, made_call
from spanver.verification.finding import Finding
from spanver.verification.profiles import Profile
from spanver.verification.rendering import short
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle, issued


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
    run_seed : int
        All seeds are derived from it.
    alpha : float
        Of one statistical test: the share of one instance of one property.
    discrepancy : float
        Violation that statistical tests must detect.
    tested : int
        Number of instances of a statistical property.
    traced : bool
        Whether a violation keeps the transcript of its call.
    """

    subject: Subject
    name: str
    guarantees: tuple[str, ...]
    profile: Profile
    run_seed: int
    alpha: float
    discrepancy: float
    tested: int
    traced: bool = False
    finding: Finding = field(init=False)
    premises: tuple[int, int] = (0, 0)  # how often one was checked, and how often it held
    unjudged: tuple[int, int, str] = (0, 0, "")  # how often something could be judged, and could not; the last reason
    last_call: Made | None = None  # of the subject on the current instance
    took_turns: bool = False  # whether calls of the current instance did
    one_by_one: bool = False  # whether all calls are made so from now on
    _digest: str = ""
    _ratio: float | None = None

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
        number = 1 if self.last_call is None else self.last_call.number + 1
        made = self.last_call = made_call(function, arguments, named, number)
        given = made.recorded(arguments)
        return self._judged(
            made, function, (arguments, named), lambda: self.subject.functions[function](*given, **named)
        )

    def calls(self, function: str, make: Callable[[int], SubjectCall], count: int) -> Iterator[tuple[SubjectCall, Any]]:
        """Make many independent calls, and yield each with its result: quicker than `call` where queries travel.

        Where they take turns, what they violate accuses nobody: `spanver.verification.search` repeats it one by one.

        Parameters
        ----------
        function : str
        make : callable
            `make(index)`: the arguments of a call, with an oracle of its own, afresh each time.
        count : int

        Raises
        ------
        ViolationError
            As of `call`.
        """
        if self.subject.together is None or self.one_by_one:
            for index in range(count):
                arguments, named = make(index)
                yield (arguments, named), self.call(function, *arguments, **named)
            return
        self.took_turns = True
        known: dict[int, tuple[Made, SubjectCall]] = {}

        def traced(index: int) -> SubjectCall:
            arguments, named = make(index)
            made = made_call(function, arguments, named, index + 1)
            given = made.recorded(arguments)
            known[id(given)] = made, (given, named)
            return known[id(given)][1]

        try:
            for call, outcome in self.subject.together(function, traced, count):
                made, _ = known.pop(id(call[0]))
                self.last_call = made
                yield call, self._judged(made, function, call, outcome)
        except ProtocolError as error:
            raise _fault(function, error) from error

    def _judged(self, made: Made, function: str, call: SubjectCall, outcome: Callable[[], Any]) -> Any:
        """Return the result of a call in the form of the contract, or raise what it violates."""
        arguments, named = call
        try:
            returned = outcome()
            made.outcome = {"result": returned}
            result = result_of(function, returned)
            if made.oracle is not None and made.oracle.refused is not None and _is_limited(made.oracle):
                words = f"{function} returned a result, though its budget had run out: {made.oracle.refused}"
                raise ViolationError(words)
            if isinstance(result, SpannerResult):
                _require_drawn(function, result, arguments)
            return result
        except ViolationError:
            raise
        except (Exception, SystemExit) as error:
            kind = error.kind if isinstance(error, SubjectError) else type(error).__name__
            made.outcome = {**made.outcome, "error": f"{kind}: {error}"}
            if isinstance(error, BudgetExceededError) and any(map(_is_limited, (*arguments, *named.values()))):
                raise  # the property set a budget, in order to see it exceeded
            raise _fault(function, error) from error

    def seed(self, purpose: str, replicate: int = 0) -> int:
        """Seed for one purpose on the current instance, below 2**52: doubles hold it and its successors exactly."""
        text = f"{self.run_seed}/{self.name}/{self._digest}/{purpose}/{replicate}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 12

    def tightness(self, measured: float, bound: float) -> None:
        """Report the ratio of a measured value to its bound on the current instance; the largest is stored."""
        ratio = measured / bound if bound > 0 else float(measured > 0)
        if math.isfinite(ratio):
            self._ratio = max(ratio, self._ratio or 0.0)

    def premise(self, held: bool) -> None:
        """Report whether the premise of a guarantee held; a guarantee whose premise never did is undecided."""
        self.premises = (self.premises[0] + 1, self.premises[1] + held)

    def judgeable(self, possible: bool, otherwise: str) -> None:
        """Report whether something could be judged; a property for which nothing ever could is not judged."""
        could, could_not, _ = self.unjudged
        self.unjudged = (could + possible, could_not + (not possible), otherwise)

    def begin(self, digest: str) -> None:
        """Start the next instance, of this digest."""
        self._digest, self._ratio, self.last_call, self.took_turns = digest, None, None, False

    def finish(self) -> None:
        """Store the tightness of an instance that passed, and steer the search towards tighter ones."""
        if self._ratio is not None:
            self.finding.tightness = max(self._ratio, self.finding.tightness or 0.0)
            if hypothesis.currently_in_test_context():  # designed instances are not searched
                hypothesis.target(self._ratio)


def expect(holds: bool, of: str, observed: object, expected: object) -> None:
    """Refuse what does not hold, with what was observed, what was expected, and of what.

    Parameters
    ----------
    holds : bool
    of : str
        What is looked at: `norms`, `samples of the call`.
    observed, expected : object
        Values, or words such as `at most 28`.

    Raises
    ------
    ViolationError
        If it does not hold.
    """
    if not holds:
        seen, right = short(observed), short(expected)
        raise ViolationError(f"{of}: {seen}, expected {right}", of=of, observed=seen, expected=right)


def _fault(function: str, error: BaseException) -> ViolationError:
    """Return the violation that an error of a function of the subject is."""
    if isinstance(error, ProtocolError):
        return ViolationError(str(error), error.cause, final=error.final, function=function)
    if isinstance(error, ContractError):
        return ViolationError(str(error), "contract", function=function)
    if isinstance(error, SubjectError):
        kind, where, message = error.kind, error.where, f"{function} {error.sentence}"
    else:
        kind, where = type(error).__name__, where_raised(error)
        message = f"{function} {raised(kind, str(error), where)}"
    if isinstance(error, BudgetExceededError):
        message = f"{function} draws far more than it needs: {error}"
    return ViolationError(message, "raised", function=function, error_type=kind, where=where)


def _require_drawn(function: str, result: SpannerResult, arguments: tuple[Any, ...]) -> None:
    """Refuse pairs of responses that the oracle of the call never issued: nothing could be said about them."""
    for oracle in arguments:
        if isinstance(oracle, RecordingOracle):
            known = issued(oracle.queries)
            for names in (result.first, result.second):
                strange = next((each for each in zip(result.prompts, names, strict=True) if each not in known), None)
                if strange is not None:
                    words = f"response {strange[1]} to prompt {strange[0]} was never drawn"
                    raise ContractError(f"{function} broke the contract: {words}")


def _is_limited(argument: Any) -> bool:
    """Whether an argument is an oracle with a budget that the property set."""
    budget = getattr(argument, "budget", None)
    return isinstance(budget, Budget) and budget not in (GENEROUS_BUDGET, Budget())
