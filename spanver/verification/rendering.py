"""Findings as lines of text: the same at the terminal, in pytest and in a JUnit file.

A violation is its message, then the table of a law's shares, the last call of the subject with its arguments, what the
subject asked of its oracle, and the smallest instance. Numbers have 6 significant digits here and long arrays lose
their middle; the JSON report has everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from io import StringIO
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from spanver.verification.finding import Call, Finding

MOST_SHOWN = 8  # elements of one list
MOST_ROWS = 24  # of one table
LONGEST = 240  # characters of one value
PROBLEM = {"log_base", "features", "beta"}  # fields by which a problem is known
SETTINGS = {"exploration_rounds", "rejection_multiplier"}  # fields by which settings of a run are known


def short(value: Any) -> str:  # noqa: PLR0911 (a kind of value a line)
    """Short text of a value: 6 significant digits, long lists without their middle, objects without their defaults."""
    if isinstance(value, np.ndarray | np.generic):
        return short(value.tolist())
    if isinstance(value, bool | str) or value is None:
        return _cut(str(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        parts = [short(each) for each in value[: MOST_SHOWN if len(value) <= MOST_SHOWN else MOST_SHOWN - 2]]
        parts += [f".. {len(value) - len(parts) - 1} more ..", short(value[-1])] if len(value) > MOST_SHOWN else []
        return _cut(f"[{', '.join(parts)}]")
    if isinstance(value, Mapping):
        return _cut(", ".join(f"{key}={short(each)}" for key, each in value.items()))
    if hasattr(value, "ledger"):
        return "oracle"
    if is_dataclass(value) and not isinstance(value, type):
        held = {each.name: getattr(value, each.name) for each in fields(value)}
        if set(held) >= PROBLEM:
            return "problem"
        told = {each.name: held[each.name] for each in fields(value) if not _is_same(held[each.name], each.default)}
        return f"{type(value).__name__}({short(told)})"
    return _cut(getattr(value, "__name__", str(value)))


def _is_same(part: Any, default: Any) -> bool:
    return type(part) is type(default) and bool(part == default)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield the lines of a violation: the message, and below it, indented, what leads to the fault."""
    yield finding.message
    if finding.shares:
        yield from _indented(_share_lines(finding.shares))
    if finding.call is not None:
        before = f" (the last of {finding.call.number})" if finding.call.number > 1 else ""
        yield f"  call{before}: {finding.call.text}"
        if finding.call.queried:
            yield f"  it queried: {finding.call.queried}"
    instance = list(instance_lines(finding.counterexample or {}, finding.call))
    if instance:
        yield "  smallest instance:"
        yield from _indented(iter(instance), 4)


def instance_lines(instance: Mapping[str, Any], call: Call | None = None) -> Iterator[str]:
    """Yield the lines of an instance, which is plain data: its problems as tables, and the rest as values.

    Settings and numbers that the call states are left out: a property may have put others in their place. So are the
    prompts that it is not about.
    """
    stated = set() if call is None else set(call.arguments)
    for name, value in instance.items():
        if isinstance(value, Mapping) and set(value) >= PROBLEM:
            yield from _problem_lines(name, value, None if call is None else call.arguments.get("prompt"))
        elif isinstance(value, Mapping) and set(value) >= SETTINGS and stated & {"settings", *value}:
            continue
        elif name not in stated:
            yield f"{name}: {short(value)}"


def _problem_lines(name: str, problem: Mapping[str, Any], prompt: str | None) -> Iterator[str]:
    known = ("beta", "radius", "reward_range", "noise", "theta_star", "shape", "horizon", "rewarded", "anchor")
    facts = {key: problem[key] for key in known if problem.get(key) is not None}
    yield f"{name}: {short(facts)}"
    if not isinstance(problem["log_base"][0][0], list):
        yield from _indented(_table_lines(problem, prompt), 2)
        return
    for layer, base in enumerate(problem["log_base"], start=1):  # each a table of its own
        yield f"  base policy of layer {layer}: {short(_probabilities(base))}"
    if "reward" in problem:  # of whole sequences
        yield f"  mean rewards: {short(problem['reward'])}"
        return
    yield f"  law of the first state: {short(problem['initial_law'])}"
    parts = {
        "mean rewards": "rewards",
        "features": "features",
        "next states": "successors",
        "chances of next states": "transitions",
    }
    for words, part in parts.items():
        for layer, table in enumerate(problem[part], start=1):
            yield f"  {words} of layer {layer}: {short(table)}"


def _table_lines(problem: Mapping[str, Any], prompt: str | None) -> Iterator[str]:
    header = ("prompt", "probability", "response", "base policy", "mean reward", "features")
    rows = [
        (short(x), short(float(problem["prompt_law"][x])), short(y), short(base), short(reward), short(vector))
        for x, rewards in enumerate(problem["reward"])
        if prompt in (None, str(x))
        for y, (base, reward, vector) in enumerate(
            zip(_probabilities(problem["log_base"][x]), rewards, problem["features"][x], strict=True)
        )
    ]
    yield from _aligned(header, rows)


def _share_lines(shares: Sequence[tuple[str, float, float]]) -> Iterator[str]:
    rows = [(name, f"{observed:.4f}", f"{expected:.4f}") for name, observed, expected in shares]
    yield from _aligned(("outcome", "observed", "expected"), rows)


def _probabilities(logs: Any) -> Any:
    """Probabilities of logs, which are strings where they are infinite."""
    return [_probabilities(each) for each in logs] if isinstance(logs, list) else math.exp(float(logs))


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = Table(*header, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for row in rows[:MOST_ROWS]:
        table.add_row(*row)
    console = Console(file=StringIO(), width=10_000, color_system=None, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    yield from map(str.rstrip, captured.get().splitlines())
    if len(rows) > MOST_ROWS:
        yield f".. {len(rows) - MOST_ROWS} more rows"


def _indented(lines: Iterator[str], width: int = 4) -> Iterator[str]:
    return (" " * width + line for line in lines)
