"""Verdicts of a verification: the status of each guarantee, from the findings of its properties.

A guarantee is `violated` if one of its properties is, else `undecided` if one of them did not decide or did not run,
else `holds`. Properties that cannot be judged on the subject do not count; a guarantee of such alone is `not judged`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from spanver.evidence import split_alpha
from spanver.guarantees import REGISTRY
from spanver.subjects.contract import Subject
from spanver.verdicts import Verdict, worst
from spanver.verification.collection import Property
from spanver.verification.finding import Finding
from spanver.verification.profiles import PROFILES
from spanver.verification.request import TRUSTING, Request
from spanver.verification.selection import statistical_properties


class Status(Enum):
    """Status of a guarantee: its verdict, or why it was not judged."""

    HOLDS = "holds"
    UNDECIDED = "undecided"
    VIOLATED = "violated"
    NOT_PROVIDED = "not provided"
    """The subject lacks the functions that the guarantee is about."""
    NOT_IN_PROFILE = "not in profile"
    """No property checks it."""
    MEASURED = "measured"
    """The subject makes no promise about it: findings are shown, and not judged."""
    NOT_JUDGED = "not judged"
    """No property can be judged on this subject."""
    EXPECTED_FAILURE = "expected failure"
    """It failed, as the file of expected failures says."""

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, if the guarantee was judged."""
        return next((verdict for verdict in Verdict if verdict.value == self.value), None)

    @property
    def colour(self) -> str:
        """Colour at the terminal; none for what was not run or is expected."""
        if self in (Status.MEASURED, Status.NOT_JUDGED):
            return "cyan"
        return "" if self.verdict is None else self.verdict.colour


@dataclass(frozen=True)
class Row:
    """Result for one guarantee.

    Attributes
    ----------
    id : str
    status : Status
    findings : tuple of Finding
        Of its properties.
    message : str
        Of the violation, or why nothing was decided.
    """

    id: str
    status: Status
    findings: tuple[Finding, ...] = ()
    message: str = ""

    @property
    def violation(self) -> Finding | None:
        """The first finding that is a violation."""
        return next((each for each in self.findings if each.verdict is Verdict.VIOLATED), None)

    @property
    def not_judged(self) -> tuple[Finding, ...]:
        """Findings of properties that were not judged."""
        return tuple(each for each in self.findings if each.not_judged)

    @property
    def examples(self) -> int:
        """Instances of all its properties."""
        return sum(each.examples for each in self.findings)

    @property
    def seconds(self) -> float:
        """Of all its properties."""
        return sum(each.seconds for each in self.findings)

    @property
    def detectable(self) -> float | None:
        """The largest over its statistical properties."""
        return max((each.detectable for each in self.findings if each.detectable is not None), default=None)

    @property
    def tightness(self) -> float | None:
        """The largest over its properties."""
        return max((each.tightness for each in self.findings if each.tightness is not None), default=None)

    def to_json(self, request: Request) -> dict[str, Any]:
        """Return the row as plain data."""
        violation = self.violation
        return {
            "id": self.id,
            "verdict": self.status.value,
            "kind": REGISTRY[self.id].kind_text,
            "examples": self.examples,
            "alpha_spent": sum(each.alpha_spent for each in self.findings),
            "detectable": self.detectable,
            "tightness": self.tightness,
            "cause": violation and violation.cause,
            "message": self.message or None,
            "counterexample": violation and violation.counterexample,
            "replay": request.replay(self.id) if self.findings else None,
            "seconds": self.seconds,
            "properties": [
                {"name": each.property, "verdict": Status.NOT_JUDGED.value, "why": each.not_judged}
                if each.not_judged
                else {"name": each.property, "verdict": each.verdict.value}
                for each in self.findings
            ],
        }


@dataclass(frozen=True)
class Report:
    """Result of a verification.

    Attributes
    ----------
    request : Request
    subject : str
        The subject's own name.
    rows : tuple of Row
        In the order of the registry.
    expected, executed : int
        Number of properties that had to run, and of those that did.
    declared : mapping
        What the subject declares that is not the default, by name.
    """

    request: Request
    subject: str
    rows: tuple[Row, ...]
    expected: int
    executed: int
    declared: Mapping[str, Any] = field(default_factory=dict)

    def ids(self, status: Status) -> list[str]:
        """Guarantees of this status."""
        return [row.id for row in self.rows if row.status is status]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; at best undecided where a property that had to run did not, or none was judged."""
        all_unjudged = all(row.status is Status.NOT_JUDGED for row in self.rows if row.findings)
        complete = self.executed == self.expected and self.executed > 0 and not all_unjudged
        judged = [row.status.verdict for row in self.rows if row.status.verdict is not None]
        return worst([*judged, Verdict.HOLDS if complete else Verdict.UNDECIDED])

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        footer = {
            "expected": self.expected,
            "executed": self.executed,
            "verdict": self.verdict.value,
            **{verdict.value: self.ids(Status(verdict.value)) for verdict in Verdict},
            "not_provided": self.ids(Status.NOT_PROVIDED),
            "not_in_profile": self.ids(Status.NOT_IN_PROFILE),
            "measured": self.ids(Status.MEASURED),
            "not_judged": self.ids(Status.NOT_JUDGED),
            "expected_failures": self.ids(Status.EXPECTED_FAILURE),
            "alpha": self.request.alpha,
            "alpha_of_one_test": self.alpha_of_one_test,
            "seed": self.request.seed,
            "profile": self.request.profile,
        }
        rows = [row.to_json(self.request) for row in self.rows]
        return {
            "schema": "spanver.verify/1",
            "subject": self.subject,
            "declared": dict(self.declared),
            "trust": TRUSTING if self.request.in_process else None,
            "guarantees": rows,
            "footer": footer,
        }

    @property
    def alpha_of_one_test(self) -> float:
        """Share of `alpha` for one instance of one statistical property."""
        instances = PROFILES[self.request.profile].demand.instances
        return split_alpha(self.request.alpha, statistical_properties(), instances)


def judge(
    name: str,
    subject: Subject,
    findings: Sequence[Finding],
    properties: Sequence[Property],
    expected_failures: Mapping[str, str],
) -> Row:
    """Judge one guarantee.

    Parameters
    ----------
    name : str
        Its id.
    subject : Subject
    findings : sequence of Finding
        Of all properties that ran.
    properties : sequence of Property
        All that had to run.
    expected_failures : mapping
        Part of the message, by guarantee.
    """
    expected = [each for each in properties if name in each.guarantees]
    if not expected:
        return Row(name, Status.NOT_PROVIDED)
    # Exact findings first, as they say more; then by name, since the order in which they end depends on the workers.
    mine = sorted((each for each in findings if name in each.guarantees), key=lambda each: (each.kind, each.property))
    measured = {each.name for each in expected if each.needs & subject.unpromised}
    judged = [each for each in mine if each.property not in measured and not each.not_judged]
    if len(measured) == len(expected) == len(mine):
        violated = [each.message for each in mine if each.verdict is Verdict.VIOLATED]
        return Row(name, Status.MEASURED, tuple(mine), violated[0] if violated else "")
    if mine and not judged and len(mine) == len(expected):
        return Row(name, Status.NOT_JUDGED, tuple(mine), next(each.not_judged for each in mine if each.not_judged))
    verdict, message = _judged(judged, len(expected) - len(mine))
    known = expected_failures.get(name)
    if known is None:
        return Row(name, Status(verdict.value), tuple(mine), message)
    failed = [each.message for each in judged if each.verdict is Verdict.VIOLATED]
    status = Status.VIOLATED
    if failed and all(known in each for each in failed):
        status, message = Status.EXPECTED_FAILURE, known
    elif verdict is Verdict.UNDECIDED:
        status = Status.UNDECIDED
    else:
        occurred = next((each for each in failed if known not in each), "it holds")
        message = f"expected to fail with: {known}; instead: {occurred}"
    return Row(name, status, tuple(mine), message)


def _judged(findings: Sequence[Finding], missing: int) -> tuple[Verdict, str]:
    """Worst verdict of the findings, and its message; `missing` is the number of properties that did not run."""
    verdict = worst(each.verdict for each in findings)
    if verdict is Verdict.HOLDS:
        return (Verdict.UNDECIDED, f"{missing} of its properties did not run") if missing else (verdict, "")
    first, *others = (each for each in findings if each.verdict is verdict)
    also = f" (also {verdict.value}: {', '.join(each.property for each in others)})" if others else ""
    return verdict, first.message + also
