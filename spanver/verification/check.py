"""What a property is given: `Check` calls the subject, derives seeds, and designs experiments.

A property is a plain function of a `Check` and of an instance. Hypothesis searches the instances, and never the
randomness: all seeds are derived by hash from (run seed, property, instance, purpose), so a failing instance replays
exactly, and a fresh run seed is a new experiment (mathematics.md, section 6). The search for instances is in
`spanver.verification.search`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
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
from spanver.evidence import log_e_law, log_e_mean, min_samples_law, min_samples_mean
from spanver.evidence.e_values import MOST_ENUMERATED
from spanver.oracle import Budget
from spanver.subjects.contract import Call as SubjectCall
from spanver.subjects.contract import Subject, result_of
from spanver.subjects.results import SpannerResult
from spanver.validation import require
from spanver.values import FloatArray
from spanver.verification.experiment import Experiment
from spanver.verification.finding import Finding
from spanver.verification.profiles import Profile
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
    """

    subject: Subject
    name: str
    guarantees: tuple[str, ...]
    profile: Profile
    run_seed: int
    alpha: float
    discrepancy: float
    tested: int
    finding: Finding = field(init=False)
    premises: tuple[int, int] = (0, 0)  # how often one was checked, and how often it held
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
        return self._judged(function, (arguments, named), lambda: self.subject.functions[function](*arguments, **named))

    def calls(self, function: str, make: Callable[[int], SubjectCall], count: int) -> Iterator[tuple[SubjectCall, Any]]:
        """Make many independent calls, and yield each with its result: quicker than `call` where queries travel.

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
        if self.subject.together is None:
            for index in range(count):
                arguments, named = make(index)
                yield (arguments, named), self.call(function, *arguments, **named)
            return
        try:
            for call, outcome in self.subject.together(function, make, count):
                yield call, self._judged(function, call, outcome)
        except ProtocolError as error:
            raise ViolationError(str(error), "protocol", final=error.final) from error

    def _judged(self, function: str, call: SubjectCall, outcome: Callable[[], Any]) -> Any:
        """Return the result of a call in the form of the contract, or raise what it violates."""
        arguments, named = call
        try:
            result = result_of(function, outcome())
            if isinstance(result, SpannerResult):
                _require_drawn(function, result, arguments)
            return result
        except ViolationError:
            raise
        except BudgetExceededError as error:
            if any(_is_limited(argument) for argument in (*arguments, *named.values())):
                raise  # the property set a budget, in order to see it exceeded
            raise ViolationError(f"{function} draws far more than it needs: {error}", "raised") from error
        except ProtocolError as error:
            raise ViolationError(str(error), "protocol", final=error.final) from error
        except ContractError as error:
            raise ViolationError(str(error), "contract") from error
        except SubjectError as error:
            raise ViolationError(f"{function} {error.sentence}", "raised") from error
        except (Exception, SystemExit) as error:
            sentence = raised(type(error).__name__, str(error), where_raised(error))
            raise ViolationError(f"{function} {sentence}", "raised") from error

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

    def begin(self, digest: str) -> None:
        """Start the next instance, of this digest."""
        self._digest, self._ratio = digest, None

    def finish(self) -> None:
        """Store the tightness of an instance that passed, and steer the search towards tighter ones."""
        if self._ratio is not None:
            self.finding.tightness = max(self._ratio, self.finding.tightness or 0.0)
            hypothesis.target(self._ratio)

    def law_experiment(self, observe: Callable[[int, int], Sequence[Any]], law: FloatArray) -> Experiment:
        """Experiment: observations, which are indices, are independent and have this law, up to the discrepancy.

        Parameters
        ----------
        observe : callable
            `observe(count, seed)`: that many further observations.
        law : array, shape (k,)
            Probabilities of at most 8 outcomes, so that the e-value may be looked at any time.
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


def _rounded(law: FloatArray) -> list[float]:
    return [round(float(share), 3) for share in law]
