"""Verdicts of a verification: the status of each guarantee, from the findings of its properties.

A guarantee is `violated` if one of its properties is, else `undecided` if one of them did not decide or did not run,
else `holds`. Properties that cannot be judged on the subject do not count; a guarantee of such alone is `not judged`.
So is one that failed only because a function of the subject raised an error or broke the contract: such an error is
reported once, whatever it kept from being judged, and makes the report violated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from spanver.evidence import split_alpha
from spanver.guarantees import REGISTRY
from spanver.subjects.contract import FUNCTIONS, Subject
from spanver.verdicts import Verdict, worst
from spanver.verification.collection import Property, find_properties
from spanver.verification.finding import Fault, Finding
from spanver.verification.profiles import PROFILES
from spanver.verification.request import TRUSTING, ExpectedFailure, Request
from spanver.verification.selection import statistical_properties
from spanver.zoo.catalogue import find


class Status(Enum):
    """Status of a guarantee: its verdict, or why it was not judged."""

    HOLDS = "holds"
    UNDECIDED = "undecided"
    VIOLATED = "violated"
    NOT_PROVIDED = "not provided"
    """The subject lacks the functions that the guarantee is about."""
    NOT_CLAIMED = "not claimed"
    """The subject does not claim to be this algorithm to the letter."""
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
        """The first finding that is a violation of the guarantee itself, else the first that ended in an error."""
        failed = [each for each in self.findings if each.verdict is Verdict.VIOLATED]
        return next((each for each in failed if each.fault is None), failed[0] if failed else None)

    @property
    def not_judged(self) -> tuple[Finding, ...]:
        """Findings of properties that were not judged."""
        return tuple(each for each in self.findings if each.not_judged)

    @property
    def in_part(self) -> bool:
        """Whether it holds as far as it could be judged: some of its properties were not."""
        return self.status is Status.HOLDS and bool(self.not_judged)

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

    @property
    def would_catch(self) -> dict[str, str]:
        """Named mistakes, by mutant in words, that its properties found not to be there: all designed instances ran."""
        designs = {each.name: each.design for each in find_properties()}
        held = (each for each in self.findings if each.verdict is Verdict.HOLDS and each.property in designs)
        passed = [designs[each.property] for each in held if each.examples >= len(designs[each.property].instances)]
        return {name: find(name).bug for design in passed for name in design.mistakes}

    def to_json(self, request: Request, would_catch: Mapping[str, str]) -> dict[str, Any]:
        """Return the row as plain data, with those of its named mistakes that are excluded."""
        violation = self.violation
        return {
            "id": self.id,
            "verdict": self.status.value,
            "judged_in_part": self.in_part,
            "kind": REGISTRY[self.id].kind_text,
            "claim": REGISTRY[self.id].claim or None,
            "examples": self.examples,
            "alpha_spent": sum(each.alpha_spent for each in self.findings),
            "detectable": self.detectable,
            "tightness": self.tightness,
            "would_catch": {name: bug for name, bug in self.would_catch.items() if name in would_catch},
            "cause": violation and violation.cause,
            "message": self.message or None,
            "of": violation and (violation.of or None),
            "observed": violation and (violation.observed or None),
            "expected": violation and (violation.expected or None),
            "shares": violation and [list(each) for each in violation.shares],
            "call": violation and violation.call and asdict(violation.call),
            "counterexample": violation and violation.counterexample,
            "replay": request.replay(self.id) if self.findings else None,
            "seconds": self.seconds,
            "properties": [
                {
                    "name": each.property,
                    "verdict": (Status.NOT_JUDGED if each.not_judged else each.verdict).value,
                    "why": each.not_judged or each.message or None,
                }
                for each in self.findings
            ],
        }


@dataclass(frozen=True)
class SubjectFailure:
    """One error of the subject, with everything that it kept from being judged.

    Attributes
    ----------
    findings : tuple of Finding
        Of the properties that met it.
    """

    findings: tuple[Finding, ...]

    @property
    def fault(self) -> Fault:
        """Where and what it was, the first time."""
        found = self.findings[0].fault
        assert found is not None
        return found

    @property
    def functions(self) -> list[str]:
        """Functions that were called when it occurred."""
        return list(dict.fromkeys(each.fault.function for each in self.findings if each.fault is not None))

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain data."""
        call = self.findings[0].call
        return {
            "functions": self.functions,
            "cause": self.fault.cause,
            "type": self.fault.type or None,
            "message": self.findings[0].message,
            "where": self.fault.where or None,
            "properties": [each.property for each in self.findings],
            "call": call and asdict(call),
            "counterexample": self.findings[0].counterexample,
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
    interrupted : bool
        Whether the run was stopped before its end.
    declared : mapping
        What the subject declares that is not the default, by name.
    """

    request: Request
    subject: str
    rows: tuple[Row, ...]
    expected: int
    executed: int
    interrupted: bool = False
    declared: Mapping[str, Any] = field(default_factory=dict)

    def ids(self, status: Status, *, conformance: bool | None = None) -> list[str]:
        """Guarantees of this status; with `conformance` only those that are claimed, or only the others."""
        return [
            row.id for row in self.rows if row.status is status and conformance in (None, bool(REGISTRY[row.id].claim))
        ]

    @property
    def would_catch(self) -> dict[str, str]:
        """Named mistakes, by mutant in words, that are excluded: `Row.would_catch` of all rows.

        None for a subject of another precision than float64, in which the mistakes were not tried.
        """
        if "precision" in self.declared:
            return {}
        return {name: bug for row in self.rows for name, bug in row.would_catch.items()}

    @cached_property
    def errors(self) -> tuple[SubjectFailure, ...]:
        """Errors of the subject that nobody expected, each once: by its line, or by function and class."""
        excused = (Status.EXPECTED_FAILURE, Status.MEASURED)
        rows = [row for row in self.rows if row.status not in excused]
        failed = {each.property: each for row in rows for each in row.findings if each.fault is not None}
        groups: dict[tuple[str, ...], list[Finding]] = {}
        for each in failed.values():
            fault = each.fault
            if fault is not None:
                groups.setdefault((fault.cause, fault.type, fault.where or fault.function), []).append(each)
        return tuple(SubjectFailure(tuple(each)) for each in groups.values())

    @property
    def first_failure(self) -> Finding | None:
        """The first error of the subject, else the first violation of a guarantee."""
        violations = (row.violation for row in self.rows if row.status is Status.VIOLATED)
        return next((each for each in (*(each.findings[0] for each in self.errors), *violations) if each), None)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; at best undecided where a property that had to run did not, or none was judged.

        An error of the subject is a violation, whichever guarantees it kept from being judged.
        """
        if self.errors:
            return Verdict.VIOLATED
        judged = [row.status.verdict for row in self.rows if row.status.verdict is not None]
        some = bool(judged) or bool(self.ids(Status.EXPECTED_FAILURE))
        complete = self.executed == self.expected > 0 and some and not self.interrupted
        return worst([*judged, Verdict.HOLDS if complete else Verdict.UNDECIDED])

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        footer = {
            "expected": self.expected,
            "executed": self.executed,
            "interrupted": self.interrupted,
            "verdict": self.verdict.value,
            **{verdict.value: self.ids(Status(verdict.value)) for verdict in Verdict},
            "not_provided": self.ids(Status.NOT_PROVIDED),
            "not_claimed": self.ids(Status.NOT_CLAIMED),
            "not_in_profile": self.ids(Status.NOT_IN_PROFILE),
            "measured": self.ids(Status.MEASURED),
            "not_judged": self.ids(Status.NOT_JUDGED),
            "expected_failures": self.ids(Status.EXPECTED_FAILURE),
            "alpha": self.request.alpha,
            "alpha_of_one_test": self.alpha_of_one_test,
            "seed": self.request.seed,
            "profile": self.request.profile,
        }
        caught = self.would_catch
        rows = [row.to_json(self.request, caught) for row in self.rows]
        return {
            "schema": "spanver.verify/2",
            "subject": self.subject,
            "declared": dict(self.declared),
            "trust": TRUSTING if self.request.in_process else None,
            "errors": [each.to_json() for each in self.errors],
            "guarantees": rows,
            "footer": footer,
        }

    @property
    def alpha_of_one_test(self) -> float:
        """Least share of `alpha` for one instance of one statistical property: where there are most instances."""
        instances = max(each.instances for each in PROFILES[self.request.profile].demands.values())
        return split_alpha(self.request.alpha, statistical_properties(), instances)


def judge(
    name: str,
    subject: Subject,
    findings: Sequence[Finding],
    properties: Sequence[Property],
    expected_failures: Mapping[str, ExpectedFailure],
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
        By guarantee.
    """
    expected = [each for each in properties if name in each.guarantees]
    if not expected:
        claimed = REGISTRY[name].claim in ("", *subject.claims)
        return Row(name, Status.NOT_PROVIDED if claimed else Status.NOT_CLAIMED)
    mine = sorted((each for each in findings if name in each.guarantees), key=_clearest_first)
    measured = {each.name for each in expected if each.needs & subject.unpromised}
    judged = [each for each in mine if each.property not in measured and not each.not_judged]
    if len(measured) == len(expected) == len(mine):
        violated = [each.message for each in mine if each.verdict is Verdict.VIOLATED]
        return Row(name, Status.MEASURED, tuple(mine), violated[0] if violated else "")
    if mine and not judged and len(mine) == len(expected):
        return Row(name, Status.NOT_JUDGED, tuple(mine), next(each.not_judged for each in mine if each.not_judged))
    known, missing = expected_failures.get(name), len(expected) - len(mine)
    status, message = _judged(judged, missing) if known is None else _compared(known, judged, missing)
    return Row(name, status, tuple(mine), message)


def _clearest_first(finding: Finding) -> tuple[str, int, int, str]:
    """Exact findings first, as they say more; then parts before what is made of them, and short counterexamples.

    The order never depends on the workers.
    """
    parts = list(FUNCTIONS)  # in the order of the contract
    part = len(parts) if finding.call is None else parts.index(finding.call.function)
    return finding.kind, part, len(json.dumps(finding.counterexample)), finding.property


def _judged(findings: Sequence[Finding], missing: int) -> tuple[Status, str]:
    """Status of the worst findings, and its message; `missing` is the number of properties that did not run."""
    failed = [each for each in findings if each.verdict is Verdict.VIOLATED]
    faults = [each.fault for each in failed if each.fault is not None]
    if faults and len(faults) == len(failed):
        return Status.NOT_JUDGED, fault_words(faults[0])
    decisive = [each for each in failed if each.fault is None]
    undecided = [each for each in findings if each.verdict is Verdict.UNDECIDED]
    if not (decisive or undecided):
        did_not = "a property did not run" if missing == 1 else f"{missing} properties did not run"
        return (Status.UNDECIDED, did_not) if missing else (Status.HOLDS, "")
    first, *others = decisive or undecided
    also = f" (also {first.verdict.value}: {', '.join(each.property for each in others)})" if others else ""
    return Status(first.verdict.value), first.message + also


def fault_words(fault: Fault) -> str:
    """What a function of the subject did wrong, in few words."""
    raised = f"raised {fault.type or 'an error'}"
    return f"{fault.function} {raised if fault.cause == 'raised' else f'broke the {fault.cause}'}"


def _compared(known: ExpectedFailure, findings: Sequence[Finding], missing: int) -> tuple[Status, str]:
    """Status where a failure is expected: only that very failure is excused."""
    verdict = worst(each.verdict for each in findings)
    occurred = [each.message for each in findings if each.verdict is known.verdict]
    if verdict is known.verdict and occurred and all(known.part in each for each in occurred):
        return Status.EXPECTED_FAILURE, str(known)
    if verdict is Verdict.UNDECIDED or (verdict is Verdict.HOLDS and missing):
        return _judged(findings, missing)
    failed = [each.message for each in findings if each.verdict is Verdict.VIOLATED and known.part not in each.message]
    instead = next(iter(failed), "it holds" if verdict is Verdict.HOLDS else "it is violated")
    return Status.VIOLATED, f"expected to fail with: {known}; instead: {instead}"
