"""What `spanver verify` runs: pytest over the properties, and one verdict for each guarantee.

The same properties run as in anybody's `pytest --pyargs spanver.properties`. The runner chooses options, collects the
findings, and compares the properties that ran with those that had to run.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from spanver.errors import SpanverError, ViolationError
from spanver.guarantees import REGISTRY
from spanver.loading import open_subject
from spanver.subjects.contract import Subject
from spanver.validation import require_count
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.finding import Finding, finding_from_json
from spanver.verification.plugin import ATTACHED
from spanver.verification.request import TRUSTING, ExpectedFailure, Request
from spanver.verification.results import Report, Row, Status, judge
from spanver.verification.selection import expected_properties, is_selected, make_check


def run_properties(
    request: Request,
    *,
    workers: int = 0,
    junit: Path | None = None,
    traced: bool = False,
    on_finding: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """Run the properties under pytest, and return their findings in the order in which they ended.

    Raises
    ------
    SpanverError
        If pytest could not run them, or a property ended in an error of its own.
    KeyboardInterrupt
        After Ctrl-C; `on_finding` has been called with all findings until then, and a JUnit file is written.
    """
    collector = _Collector(on_finding)
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "hypothesis"))
    with tempfile.TemporaryDirectory() as folder:
        options = _options(request, Path(folder), workers)
        options += [f"--junitxml={junit}"] if junit else []
        options += ["--spanver-trace"] if traced else []
        output = Path(folder) / "output.txt"
        with ExitStack() as context:
            environment = context.enter_context(pytest.MonkeyPatch.context())
            for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
                environment.delenv(name, raising=False)
            environment.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            sink = context.enter_context(output.open("w", encoding="utf-8"))
            context.enter_context(redirect_stdout(sink))
            context.enter_context(redirect_stderr(sink))
            code = pytest.main(options, plugins=[collector])
        text = output.read_text(encoding="utf-8")
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if collector.errors:
        raise SpanverError(f"a property ended in an error that is not the subject's:\n{collector.errors[0]}")
    ran = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if code not in ran and not collector.findings:
        raise SpanverError(f"the properties could not run (pytest exit code {int(code)}):\n{text[-3000:]}")
    return collector.findings


def opened(request: Request) -> Subject:
    """Return the subject of a request; errors as of `open_subject`."""
    return open_subject(request.subject, request.command, in_process=request.in_process, time_limit=request.time_limit)


def findings_here(request: Request) -> Iterator[Finding]:
    """Run the properties one after another in this process, without pytest, and yield their findings: exact ones first.

    It saves the time of pytest, which for a mutant is most of it.
    """
    subject = opened(request)
    functions = {each for each in request.functions.split(",") if each}
    try:
        for each in sorted(expected_properties(subject, request.only), key=lambda each: each.statistical):
            if functions and not functions & each.needs:
                continue
            check = make_check(
                subject, each.name, each.guarantees, profile=request.profile, alpha=request.alpha, seed=request.seed
            )
            with warnings.catch_warnings(), suppress(ViolationError, pytest.skip.Exception):
                warnings.simplefilter("ignore")
                each.test(check)
            yield check.finding
    finally:
        subject.close()


def _options(request: Request, folder: Path, workers: int) -> list[str]:
    """Options of pytest, which leave no file in the user's folder and activate no plugin that no verdict needs."""
    # A configuration of its own, so that the user's does not affect the properties; neither do the user's variables and
    # other plugins (`run_properties`). The user's conftest.py would be code of the subject in this process.
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\naddopts = --import-mode=importlib\n", encoding="utf-8")
    options = ["--pyargs", "spanver.properties", "-c", str(settings), "--rootdir", str(folder), "-q"]
    options += ["--noconftest"]
    for plugin in ("no:cacheprovider", "no:unraisableexception", "spanver.verification.plugin", "xdist"):
        options += ["-p", plugin]
    options += ["-W", "ignore", "--tb=short"]
    options += [f"--subject-command={request.command}"] if request.command else ["--subject", request.subject]
    options += ["--spanver-profile", request.profile, "--spanver-only", request.only]
    options += ["--spanver-functions", request.functions]
    options += [] if request.in_process else ["--spanver-isolated"]
    options += [] if request.time_limit is None else ["--spanver-time-limit", repr(request.time_limit)]
    options += ["--spanver-alpha", repr(request.alpha), "--spanver-seed", str(request.seed)]
    options += ["-n", str(workers), "--maxschedchunk", "1"] if workers > 1 else []
    suite = f"spanver verify {request.command or request.subject}"
    return [*options, "-o", f"junit_suite_name={suite}{f' ({TRUSTING})' if request.in_process else ''}"]


@dataclass(frozen=True)
class Progress:
    """How far a verification is: called when a property has ended.

    Attributes
    ----------
    done, total : int
        Properties that ended, and all that have to run.
    finding : Finding
        Of the property that ended.
    rows : tuple of Row
        Guarantees that it decided, as the last of their properties.
    """

    done: int
    total: int
    finding: Finding
    rows: tuple[Row, ...]


def verify(
    request: Request,
    *,
    workers: int | None = None,
    junit: Path | None = None,
    expected_failures: Mapping[str, ExpectedFailure] | None = None,
    traced: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Verify a subject. After Ctrl-C the report has what was decided until then.

    Parameters
    ----------
    request : Request
    workers : int, optional
        Number of processes. Default: that of the processors, at most 4.
    junit : Path, optional
        Also write a JUnit file.
    expected_failures : mapping, optional
        By guarantee (`read_expected_failures`).
    traced : bool
        Whether violations keep the transcripts of their calls.
    on_progress : callable, optional
        Called when a property ends.
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    require_count("workers", workers)
    subject = opened(request)
    try:
        expected = expected_properties(subject, request.only)
    finally:
        subject.close()
    findings: list[Finding] = []
    known = expected_failures or {}

    def row_of(name: str) -> Row:
        return judge(name, subject, findings, expected, known)

    def ended(found: Finding) -> None:
        findings.append(found)
        if on_progress is not None:
            ran = {each.property for each in findings}
            left = {name for each in expected for name in each.guarantees if each.name not in ran}
            names = [name for name in found.guarantees if name not in left and is_selected([name], request.only)]
            on_progress(Progress(len(findings), len(expected), found, tuple(map(row_of, names))))

    interrupted = False
    try:
        if expected:
            run_properties(request, workers=workers, junit=junit, traced=traced, on_finding=ended)
    except KeyboardInterrupt:
        interrupted = True
    checked = {name for each in find_properties() for name in each.guarantees}
    rows = tuple(
        row_of(name) if name in checked else Row(name, Status.NOT_IN_PROFILE)
        for name in REGISTRY
        if is_selected([name], request.only)
    )
    return Report(request, subject.name, rows, len(expected), len(findings), interrupted, subject.declared)


class _Collector:
    """Plugin of one run that collects the findings."""

    def __init__(self, on_finding: Callable[[Finding], None] | None) -> None:
        self.findings: list[Finding] = []
        self.errors: list[str] = []
        self._on_finding = on_finding
        self._failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Read a report where it is logged: with workers, in the process that started them."""
        if report.failed:
            self._failed[report.nodeid] = report.longreprtext
        if report.when != "teardown":
            return
        attached = dict(report.user_properties).get(ATTACHED)
        found = finding_from_json(str(attached)) if attached is not None else None
        if found is not None and (found.verdict is not Verdict.UNDECIDED or found.message or found.not_judged):
            self.findings.append(found)
            if self._on_finding is not None:
                self._on_finding(found)
        elif report.nodeid in self._failed:
            # It ended without a verdict: the fault is not the subject's.
            self.errors.append(self._failed[report.nodeid])
