"""What stands behind `spanver verify`: pytest over the properties, and one verdict for each guarantee.

The same properties run as in anybody's `pytest --pyargs spanver.properties`; the runner chooses options, collects what
each found, and compares what ran with what had to run. A guarantee is `violated` if one of its properties is, else
`undecided` if one of them did not decide, or did not run, else `holds`.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from spanver.errors import SpanverError
from spanver.evidence import split_alpha
from spanver.guarantees import REGISTRY
from spanver.loading import open_subject
from spanver.subjects.contract import Subject
from spanver.validation import require, require_count, require_probability
from spanver.verdicts import Verdict, worst
from spanver.verification.collection import Property, find_properties
from spanver.verification.finding import Finding, finding_from_json
from spanver.verification.plugin import ATTACHED
from spanver.verification.profiles import DEMANDS, PROFILES
from spanver.verification.selection import expected_properties, is_selected, statistical_properties

__all__ = ["Report", "Request", "Row", "Status", "expected_failures", "run_properties", "verify"]


class Status(Enum):
    """What became of a guarantee: its verdict, or why it was not judged."""

    HOLDS = "holds"
    UNDECIDED = "undecided"
    VIOLATED = "violated"
    NOT_PROVIDED = "not provided"
    """The subject does not provide the functions that it is about."""
    NOT_IN_PROFILE = "not in profile"
    """No property decides it yet."""
    MEASURED = "measured"
    """The subject does not promise it."""
    EXPECTED_FAILURE = "expected failure"
    """It failed as the file of expected failures says."""

    @property
    def colour(self) -> str:
        """Colour at the terminal."""
        return ({verdict.value: verdict.colour for verdict in Verdict} | {"measured": "cyan"}).get(self.value, "")


@dataclass(frozen=True)
class Request:
    """What to verify, and how.

    Attributes
    ----------
    subject : str
        Name of the subject.
    command : str or None
        The program that is the subject, instead.
    profile : str
    only : str
        Ids or groups, separated by commas; empty for all.
    alpha : float
    seed : int
    functions : str
        Functions, separated by commas, of which a property has to need one; empty for all properties.

    Raises
    ------
    ArgumentError
        If a value is out of range, or both a subject and a command are given.
    """

    subject: str = "reference"
    command: str | None = None
    profile: str = "quick"
    only: str = ""
    alpha: float = 1e-6
    seed: int = 0
    functions: str = ""

    def __post_init__(self) -> None:
        require(self.profile in PROFILES, "profile", self.profile, f"one of {', '.join(PROFILES)}")
        require_probability("alpha", self.alpha)
        require_count("seed", self.seed, least=0)
        is_selected((), self.only)
        if self.command is not None:
            require(self.command.strip() != "", "command", self.command, "a program, with its arguments")
            require(self.subject == Request.subject, "subject", self.subject, "left out where there is a command")

    def replay(self, guarantee: str) -> str:
        """Command that runs the properties of one guarantee again, with the same instances and the same luck."""
        parts = ["spanver", "verify", *(["--command", self.command] if self.command else [self.subject])]
        parts += ["--only", guarantee, "--profile", self.profile, "--seed", str(self.seed)]
        return shlex.join(parts + (["--alpha", repr(self.alpha)] if self.alpha != Request.alpha else []))


@dataclass(frozen=True)
class Row:
    """What became of one guarantee.

    Attributes
    ----------
    id : str
    status : Status
    findings : tuple of Finding
        Of its properties.
    message : str
        Of the violation or of what is undecided.
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
            "properties": [{"name": each.property, "verdict": each.verdict.value} for each in self.findings],
        }


_JUDGED = frozenset({Status.HOLDS, Status.UNDECIDED, Status.VIOLATED})


@dataclass(frozen=True)
class Report:
    """What a verification came to.

    Attributes
    ----------
    request : Request
    subject : str
        The subject's own name.
    rows : tuple of Row
        In the order of the registry.
    expected, executed : int
        Properties that had to run, and that did.
    """

    request: Request
    subject: str
    rows: tuple[Row, ...]
    expected: int
    executed: int

    def ids(self, status: Status) -> list[str]:
        """Guarantees of this status."""
        return [row.id for row in self.rows if row.status is status]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; undecided at best where not all properties ran that had to, or none did."""
        complete = self.executed == self.expected and self.executed > 0
        judged = [Verdict(row.status.value) for row in self.rows if row.status in _JUDGED]
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
            "expected_failures": self.ids(Status.EXPECTED_FAILURE),
            "alpha": self.request.alpha,
            "alpha_of_one_test": self.alpha_of_one_test,
            "seed": self.request.seed,
            "profile": self.request.profile,
        }
        rows = [row.to_json(self.request) for row in self.rows]
        return {"schema": "spanver.verify/1", "subject": self.subject, "guarantees": rows, "footer": footer}

    @property
    def alpha_of_one_test(self) -> float:
        """Share of one instance of one statistical property."""
        return split_alpha(self.request.alpha, statistical_properties(), DEMANDS[self.request.profile].instances)


def expected_failures(path: Path) -> dict[str, str]:
    """Read a file of expected failures, a line each: `S4: part of the message of the failure`.

    Lines that begin with `#` are comments.

    Raises
    ------
    ArgumentError
        If there is no such file, or a line names no guarantee, one that an earlier line names, or no part of a message.
    """
    require(path.is_file(), "expected_failures", str(path), "a file")
    entries: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            where = f"line {number} of {path}"
            name, _, part = (each.strip() for each in line.partition(":"))
            require(part != "", where, line, "`guarantee: part of the message`")
            require(name in REGISTRY, where, line, "about a guarantee (spanver guarantees lists them)")
            require(name not in entries, where, line, f"the only line about {name}")
            entries[name] = part
    return entries


def run_properties(
    request: Request,
    *,
    workers: int = 0,
    junit: Path | None = None,
    stop_at_first: bool = False,
    on_finding: Callable[[str], None] | None = None,
) -> list[Finding]:
    """Run the properties under pytest and return what each found, in the order in which they ended.

    Raises
    ------
    SpanverError
        If pytest could not run them, or a property ended in an error of its own.
    """
    collector = _Collector(on_finding)
    with tempfile.TemporaryDirectory() as folder:
        # A configuration of its own: whatever pytest is told where the user stands does not reach the properties.
        settings = Path(folder) / "pytest.ini"
        settings.write_text("[pytest]\naddopts = --import-mode=importlib\n", encoding="utf-8")
        options = ["--pyargs", "spanver.properties", "-c", str(settings), "--rootdir", folder, "-q"]
        # Nothing is left behind in the user's folder, and nothing is collected or watched that no verdict needs.
        for plugin in ("cacheprovider", "benchmark", "randomly", "unraisableexception"):
            options += ["-p", f"no:{plugin}"]
        options += ["-W", "ignore", "--tb=short"]
        if "spanver.verification.plugin" not in _entry_points():
            options += ["-p", "spanver.verification.plugin"]
        options += [f"--subject-command={request.command}"] if request.command else ["--subject", request.subject]
        options += ["--spanver-profile", request.profile, "--spanver-only", request.only]
        options += ["--spanver-functions", request.functions]
        options += ["--spanver-alpha", repr(request.alpha), "--spanver-seed", str(request.seed)]
        options += ["-n", str(workers), "--maxschedchunk", "1"] if workers > 1 else []
        options += ["-x"] if stop_at_first else []
        options += ["-o", f"junit_suite_name=spanver verify {request.command or request.subject}"]
        options += [f"--junitxml={junit}"] if junit else []
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "hypothesis"))
        output = Path(folder) / "output.txt"
        with output.open("w", encoding="utf-8") as sink, redirect_stdout(sink), redirect_stderr(sink):
            code = pytest.main(options, plugins=[collector])
        text = output.read_text(encoding="utf-8")
    if collector.errors:
        raise SpanverError(f"a property ended in an error that is not the subject's:\n{collector.errors[0]}")
    ran = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if code not in ran and not collector.findings:
        raise SpanverError(f"the properties could not run (pytest exit code {int(code)}):\n{text[-3000:]}")
    return collector.findings


def verify(
    request: Request,
    *,
    workers: int | None = None,
    junit: Path | None = None,
    known: Mapping[str, str] | None = None,
    on_finding: Callable[[str], None] | None = None,
) -> Report:
    """Verify a subject.

    Parameters
    ----------
    request : Request
    workers : int, optional
        Processes; default: as many as there are processors, at most 4.
    junit : Path, optional
        Also write a JUnit file.
    known : mapping, optional
        Expected failures: part of the message, by guarantee.
    on_finding : callable, optional
        Called with the name of each property, as soon as it ends.

    Returns
    -------
    Report
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    require_count("workers", workers)
    subject = open_subject(request.subject, request.command)
    try:
        expected = expected_properties(subject, request.only)
    finally:
        subject.close()
    findings = run_properties(request, workers=workers, junit=junit, on_finding=on_finding) if expected else []
    checked = {name for each in find_properties() for name in each.guarantees}
    rows = tuple(
        _row(name, subject, findings, [each for each in expected if name in each.guarantees], known or {})
        if name in checked
        else Row(name, Status.NOT_IN_PROFILE)
        for name in REGISTRY
        if is_selected([name], request.only)
    )
    return Report(request, subject.name, rows, len(expected), len(findings))


def _row(
    name: str,
    subject: Subject,
    findings: Sequence[Finding],
    expected: Sequence[Property],
    known: Mapping[str, str],
) -> Row:
    if not expected:
        return Row(name, Status.NOT_PROVIDED)
    # Exact findings first, as they say more; else by name, as the order in which they ended is the workers'.
    mine = sorted((each for each in findings if name in each.guarantees), key=lambda each: (each.kind, each.property))
    measured = {each.name for each in expected if each.needs & subject.measured}
    judged = [each for each in mine if each.property not in measured]
    if len(measured) == len(expected) == len(mine):
        violated = [each.message for each in mine if each.verdict is Verdict.VIOLATED]
        return Row(name, Status.MEASURED, tuple(mine), violated[0] if violated else "")
    verdict, message = _judged(judged, len(expected) - len(mine))
    if name not in known:
        return Row(name, Status(verdict.value), tuple(mine), message)
    failed = [each.message for each in judged if each.verdict is Verdict.VIOLATED]
    if failed and all(known[name] in each for each in failed):
        return Row(name, Status.EXPECTED_FAILURE, tuple(mine), known[name])
    if verdict is Verdict.UNDECIDED:
        return Row(name, Status.UNDECIDED, tuple(mine), message)
    occurred = next((each for each in failed if known[name] not in each), "it holds")
    message = f"expected to fail with: {known[name]}; instead: {occurred}"
    return Row(name, Status.VIOLATED, tuple(mine), message)


def _judged(findings: Sequence[Finding], missing: int) -> tuple[Verdict, str]:
    """Worst verdict, and its message."""
    verdict = worst(each.verdict for each in findings)
    if verdict is Verdict.HOLDS:
        return (Verdict.UNDECIDED, f"{missing} of its properties did not run") if missing else (verdict, "")
    first, *others = (each for each in findings if each.verdict is verdict)
    also = f" (also {verdict.value}: {', '.join(each.property for each in others)})" if others else ""
    return verdict, first.message + also


def _entry_points() -> set[str]:
    from importlib.metadata import entry_points  # noqa: PLC0415 (once a run)

    return {each.value for each in entry_points(group="pytest11")}


class _Collector:
    """Plugin of one run that collects the findings."""

    def __init__(self, on_finding: Callable[[str], None] | None) -> None:
        self.findings: list[Finding] = []
        self.errors: list[str] = []
        self._on_finding = on_finding
        self._failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Read reports where they are logged, which also happens on the near side of workers."""
        if report.failed:
            self._failed[report.nodeid] = report.longreprtext
        if report.when != "teardown":
            return
        attached = dict(report.user_properties).get(ATTACHED)
        found = finding_from_json(str(attached)) if attached is not None else None
        if found is not None and (found.verdict is not Verdict.UNDECIDED or found.message):
            self.findings.append(found)
            if self._on_finding is not None:
                self._on_finding(found.property)
        elif report.nodeid in self._failed:
            # It ended without a verdict: the fault is not the subject's.
            self.errors.append(self._failed[report.nodeid])
