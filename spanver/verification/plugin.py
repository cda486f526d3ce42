"""The pytest plugin: the properties of `spanver.properties` on a subject, in anybody's test run.

    pytest --pyargs spanver.properties --subject their_module:subject

In one's own test run the subject runs in this process, where debuggers and measures of coverage see it, and is trusted;
`--spanver-isolated` runs it in a process of its own.

It adds options, gives each property its `check`, and attaches the finding of the property to pytest's report. It has
no effect in a run without such properties, and imports nothing of spanver before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from spanver.verification.check import Check

ATTACHED = "spanver"  # name under which a finding is attached to a report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("spanver", "guarantees of exploration with language models")
    group.addoption("--subject", default="reference", help="what spanver's properties verify: module:attribute")
    group.addoption("--subject-command", help="verify the program that this command starts, over a pipe")
    group.addoption(
        "--spanver-isolated", action="store_true", help="run a Python subject in a process of its own, as verify does"
    )
    group.addoption(
        "--spanver-time-limit", type=float, help="seconds of its own time that a call of an isolated subject may take"
    )
    group.addoption(
        "--spanver-profile", default="quick", choices=("smoke", "quick", "ci", "deep"), help="how hard to look"
    )
    group.addoption("--spanver-only", default="", help="guarantees, or groups of them by letter, separated by commas")
    group.addoption("--spanver-functions", default="", help="functions, of which a property has to need one")
    group.addoption("--spanver-alpha", type=float, default=1e-6, help="false-alarm budget of the whole run")
    group.addoption("--spanver-trace", action="store_true", help="keep a transcript of the call of each violation")
    group.addoption("--spanver-seed", type=int, default=0, help="the same seed gives the same run")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "guarantee(id, ..., needs=[function, ...]): what a property checks, and needs of a subject"
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say that a subject in this process is trusted, also where `-q` leaves the header out."""
    subject = config.getoption("--subject")
    if subject == "reference" or config.getoption("--spanver-isolated") or config.getoption("--subject-command"):
        return
    from spanver.verification.request import TRUSTING  # noqa: PLC0415 (nothing before it is needed)

    terminalreporter.write_line(f"spanver: {subject}, {TRUSTING}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out properties that are not selected; run statistical ones, which take longest, first on many workers."""
    only = config.getoption("--spanver-only")
    functions = set(filter(None, config.getoption("--spanver-functions").split(",")))
    marked = [(item, marker) for item in items for marker in item.iter_markers("guarantee")]
    if not marked:
        return
    if only or functions:
        from spanver.verification.selection import is_selected  # noqa: PLC0415 (nothing before it is needed)

        left_out = [
            item
            for item, marker in marked
            if not is_selected(marker.args, only) or (functions and not functions & set(marker.kwargs.get("needs", ())))
        ]
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    from spanver.verification.search import is_statistical  # noqa: PLC0415 (nothing before it is needed)

    first = hasattr(config, "workerinput")
    items.sort(key=lambda item: is_statistical(getattr(item, "obj", None)) != first)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Report a property that ran and decided nothing as skipped, with the reason: it neither passed nor failed."""
    yield
    check = getattr(item, "funcargs", {}).get("check")
    if item.get_closest_marker("guarantee") and check is not None and check.finding.verdict.value == "undecided":
        pytest.skip(f"undecided: {check.finding.message}")


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return the subject of the run."""
    from spanver.errors import SpanverError  # noqa: PLC0415 (nothing before it is needed)
    from spanver.loading import open_subject  # noqa: PLC0415 (likewise)

    option = request.config.getoption
    try:
        found = open_subject(
            option("--subject"),
            option("--subject-command"),
            in_process=not option("--spanver-isolated"),
            time_limit=option("--spanver-time-limit"),
        )
    except SpanverError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    yield found
    found.close()


@pytest.fixture
def check(request: pytest.FixtureRequest, subject: Any) -> Iterator[Check]:
    """Return the `Check` of a property, and attach its finding to the report."""
    from spanver.verification.finding import finding_to_json  # noqa: PLC0415 (nothing before it is needed)
    from spanver.verification.selection import claims_of, make_check  # noqa: PLC0415 (likewise)

    marker = request.node.get_closest_marker("guarantee")
    missing = sorted(set(marker.kwargs.get("needs", ())) - subject.provides)
    if missing:
        pytest.skip(f"not provided: {', '.join(missing)}")
    unclaimed = sorted(claims_of(marker.args) - subject.claims)
    if unclaimed:
        pytest.skip(f"not claimed: {', '.join(unclaimed)}")
    option = request.config.getoption
    made = make_check(
        subject,
        request.node.name,
        marker.args,
        profile=option("--spanver-profile"),
        alpha=option("--spanver-alpha"),
        seed=option("--spanver-seed"),
        traced=option("--spanver-trace"),
    )
    yield made
    request.node.user_properties.append((ATTACHED, finding_to_json(made.finding)))
