"""Shared by all commands: the consoles, progress bars, Ctrl-C, and JSON files.

Bars are shown only at a terminal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from spanver.errors import ArgumentError

if TYPE_CHECKING:
    from spanver.runs.execution import Step

WIDE = 120  # columns where output is no terminal: in a log of 80 the tables of verdicts break in every cell

console = Console()
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = WIDE
errors = Console(stderr=True)


def plain(line: str, to: Console = console) -> None:
    """Print a line unchanged: a path is not parsed as markup, and not broken over lines."""
    to.print(line, markup=False, highlight=False, soft_wrap=True)


def check_outputs(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before anything is run."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise ArgumentError("path", path, "a file in a folder that exists")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain data to an indented JSON file."""
    check_outputs(path)
    path.write_text(json.dumps(content, indent=1) + "\n")


@contextmanager
def counting(words: str) -> Iterator[Callable[[str], None]]:
    """Show the number of results, the time and the last result."""
    if not console.is_terminal:
        yield lambda found: None
        return
    with _bar(words, console) as (progress, task):
        yield lambda found: progress.update(task, advance=1, last=f" done: {found[:40]}")


@contextmanager
def verdicts(words: str) -> Iterator[Callable[[int, int, str, Sequence[str]], None]]:
    """Print lines as they come, each with how many of all are done; a terminal also shows a bar below them.

    Yields
    ------
    callable
        `show(done, total, last, lines)`.
    """
    with _own_output() as output, ExitStack() as stack:
        bar = stack.enter_context(_bar(words, output)) if output.is_terminal else None

        def show(done: int, total: int, last: str, lines: Sequence[str]) -> None:
            if bar is not None:
                progress, task = bar
                progress.update(task, completed=done, last=f" of {total}: {last[:40]}")
            for line in lines:
                plain(f"[{done} of {total}] {line}", output)

        yield show


@contextmanager
def _own_output() -> Iterator[Console]:
    """Standard output under a descriptor of its own: pytest takes the usual one while a property runs."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except OSError:  # it is no file, as in a test
        yield Console(file=sys.stdout)
        return
    with os.fdopen(descriptor, "w", encoding=sys.stdout.encoding) as file:
        yield Console(file=file)


@contextmanager
def _bar(words: str, to: Console) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("{task.completed}{task.fields[last]}"))
    with Progress(*columns, console=to, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        yield progress, progress.add_task(words, total=None, last="")


@contextmanager
def counting_points() -> Iterator[Callable[[int, int], None]]:
    """Show how many points of all are done."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def status(message: str) -> Iterator[None]:
    """Show a message while something runs."""
    if console.is_terminal:
        with console.status(message):
            yield
    else:
        yield


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop between two rounds; a second one stops at once.

    Yields
    ------
    callable
        Whether a stop was requested.
    """
    requested = False

    def request(number: int, frame: object) -> None:
        nonlocal requested
        requested = True
        errors.print("stopping after this round; once more stops at once", style="yellow")
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Rate(ProgressColumn):
    """Rounds a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rounds/s", style="progress.data.speed")


@contextmanager
def rounds_progress(totals: Mapping[str, int | None]) -> Iterator[Callable[[Step], None]]:
    """Show the phases of a run with rate, time left and samples drawn."""
    if not console.is_terminal:
        yield lambda step: None
        return
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[samples]} samples"),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {
            phase: progress.add_task(phase, total=total, start=False, samples="0") for phase, total in totals.items()
        }

        def show(step: Step) -> None:
            task = tasks[step.phase]
            if not progress.tasks[task].started:
                progress.start_task(task)
            progress.update(task, completed=step.done, samples=f"{step.ledger.samples:,}")

        yield show
