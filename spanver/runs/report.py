"""Terminal tables of runs and certificates, and the figure of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from spanver.errors import ArgumentError
from spanver.learners.spanner_sampling import Settings
from spanver.runs.certify import Check
from spanver.runs.records import Record
from spanver.runs.settings import SETTING_NAMES
from spanver.values import FloatArray

__all__ = [
    "certificate_table",
    "check_figure",
    "draw_figure",
    "responses_table",
    "result_table",
    "settings_table",
]

_SYMBOLS = {
    "prompts": "T_prompt",
    "pairs_per_prompt": "T_span",
    "nu": "nu",
    "ridge": "lambda",
    "exploration_rounds": "T_exp",
    "rejection_multiplier": "M_rej",
    "rejection_failure": "delta_rej",
}
_ZERO = 1e-15  # gaps below are rounding
_FIGURES = (".png", ".svg", ".pdf")


def number(value: float) -> str:
    """Write a number so that a person can read it: integers below a billion in full, others to four digits."""
    if isinstance(value, int | np.integer) and abs(int(value)) < 10**9:
        return f"{int(value):,}"
    return f"{float(value):.4g}"


def settings_table(used: Settings, derived: Settings | str, *, title: str) -> Table:
    """Settings of a run beside the derived ones, with the ratio.

    Parameters
    ----------
    used : Settings
    derived : Settings or str
        The derived ones, or why there are none.
    title : str
    """
    table = Table(title=title, title_justify="left")
    table.add_column("setting")
    table.add_column("symbol")
    for heading in ("this run", "derived", "ratio"):
        table.add_column(heading, justify="right")
    for name in SETTING_NAMES:
        value = getattr(used, name)
        row = [name, _SYMBOLS[name], number(value)]
        if isinstance(derived, Settings):
            other = getattr(derived, name)
            row += [number(other), f"{value / other:.2g}"]
        else:
            row += ["-", "-"]
        table.add_row(*row)
    if not isinstance(derived, Settings):
        table.caption = derived
    else:
        table.caption = r"derived: proved safe, far from tight \[recon]"
    return table


def result_table(summary: Mapping[str, Any]) -> Table:
    """What a run came to, beside its bounds.

    Parameters
    ----------
    summary : mapping
        Content of `run.json`.
    """
    gap, improvement, ledger, limits = summary["gap"], summary["improvement"], summary["ledger"], summary["bounds"]
    exact = "exact" if gap["exact"] else "estimated"
    table = Table(title=f"result: {summary['plan']['problem']}", title_justify="left")
    table.add_column("quantity")
    table.add_column("this run", justify="right")
    table.add_column("bound or reference", justify="right")
    table.add_row(f"gap J(pi*) - J(pi), {exact}", _with_interval(gap), f"base policy: {number(summary['base_gap'])}")
    table.add_row(f"gain J(pi) - J(base), {exact}", _with_interval(improvement), "above 0")
    table.add_row("samples asked (T_comp)", f"{ledger['samples']:,}", f"at most {number(limits['samples'])} (S7, R1)")
    table.add_row("rewards asked (T_data)", number(ledger["rewards"]), f"at most {number(limits['rewards'])} (S4, S7)")
    table.add_row("spanner size", number(summary["spanner"]["size"]), f"at most {number(limits['spanner_size'])} (S4)")
    coverage = summary["problem"]["coverage"]
    planned = summary["coverage_reached"] or summary["plan"]["coverage"]
    reached = "reached" if summary["coverage_reached"] else "settings for"
    known = "not known" if coverage is None else f"{number(coverage)}, exact"
    table.add_row("coverage C(pi*)", known, f"{reached}: {number(planned)}")
    premise = "met: at most" if limits["score_error"] <= limits["score_error_limit"] else "not met: above"
    table.add_row(
        "premise of E2: nu gamma",
        number(limits["score_error"]),
        f"{premise} beta/2 = {number(limits['score_error_limit'])}",
    )
    outcomes = summary["outcomes"]
    table.add_row("clipped / fallback outputs", f"{outcomes['clipped']} / {outcomes['fallback']}", _clipping(outcomes))
    evaluation = summary["evaluation"]
    if evaluation["ledger"]["samples"]:
        table.add_row("samples of the evaluation", number(evaluation["ledger"]["samples"]), "beside those above")
    table.caption = f"gap: {evaluation['method']}"
    return table


def _clipping(outcomes: Mapping[str, int]) -> str:
    return "M_rej looks too small" if outcomes["clipped"] else "none clipped: no sign that M_rej is too small"


def _with_interval(estimate: Mapping[str, float]) -> str:
    value = "0 (to rounding)" if abs(float(estimate["value"])) < _ZERO else number(float(estimate["value"]))
    if estimate["exact"] or estimate["low"] is None:
        return value
    return f"{value} [{number(float(estimate['low']))}, {number(float(estimate['high']))}] 95 %"


def responses_table(summary: Mapping[str, Any]) -> Table | None:
    """Best outputs before and after, where the problem has outputs to show (text)."""
    before, after = summary["evaluation"]["before"], summary["evaluation"]["after"]
    if not before:
        return None
    table = Table(title="best responses, one output a prompt", title_justify="left", show_lines=True)
    for heading in ("base policy", "reward", "after", "reward"):
        table.add_column(heading, justify="right" if heading == "reward" else "left")
    for one, two in zip(before, after, strict=True):
        table.add_row(_text(one), f"{one['reward']:.3f}", _text(two), f"{two['reward']:.3f}")
    return table


def _text(sample: Mapping[str, Any]) -> str:
    return f"[dim]{escape(sample['prompt'])}[/dim] {escape(sample['response'])}"


def certificate_table(checks: Iterable[Check], titles: Mapping[str, str]) -> Table:
    """Verdicts of `certify`, one row a guarantee.

    Parameters
    ----------
    checks : iterable of Check
    titles : mapping
        Title of each guarantee by id.
    """
    table = Table()
    for heading in ("id", "guarantee", "verdict", "finding"):
        table.add_column(heading)
    for check in checks:
        colour = check.verdict.colour
        table.add_row(check.id, titles[check.id], f"[{colour}]{check.verdict.value}[/{colour}]", check.finding)
    return table


def check_figure(path: Path) -> None:
    """Refuse a path whose suffix is of no format that can be drawn.

    Raises
    ------
    ArgumentError
    """
    if path.suffix not in _FIGURES:
        raise ArgumentError("figure", path, f"a path that ends in one of {', '.join(_FIGURES)}")


def draw_figure(record: Record, curves: Mapping[str, FloatArray], path: Path) -> None:
    """Draw gap and ledger against rounds; the suffix of the path (png, svg, pdf) says in which format.

    Parameters
    ----------
    record : Record
    curves : mapping of array
        `rounds`, `round_gaps` and `mixture_gaps` of the record's arrays.
    path : Path

    Raises
    ------
    ArgumentError
        If the path's suffix is of no format that can be drawn.
    """
    import matplotlib as mpl  # noqa: PLC0415 (slow to import, and only figures need it)
    from matplotlib.figure import Figure  # noqa: PLC0415

    check_figure(path)
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    gaps, costs = figure.subplots(1, 2)
    summary = record.summary
    _draw_gaps(gaps, summary, curves)
    _draw_ledger(costs, record)
    plan = summary["plan"]
    figure.suptitle(f"SpannerSampling on {plan['problem']} (seed {plan['seed']})")
    with mpl.rc_context({"svg.hashsalt": "spanver"}):
        figure.savefig(path, dpi=150)


def _draw_gaps(axes: Any, summary: Mapping[str, Any], curves: Mapping[str, FloatArray]) -> None:
    rounds = curves["rounds"]
    exact = summary["gap"]["exact"]
    # A log scale has no room for gaps that are rounding; they lie on its floor.
    floor = 1e-9 * summary["base_gap"] if exact else -np.inf
    axes.axhline(summary["base_gap"], color="0.4", linestyle="--", label="base policy")
    axes.plot(
        rounds,
        np.maximum(curves["round_gaps"], floor),
        color="#E69F00",
        linewidth=0.8,
        label="policy of the round",
        zorder=3,
    )
    axes.plot(
        rounds,
        np.maximum(curves["mixture_gaps"], floor),
        color="#0072B2",
        linewidth=2,
        label="mixture of all rounds so far",
    )
    if not exact and summary["gap"]["low"] is not None:
        low, high = summary["gap"]["low"], summary["gap"]["high"]
        axes.errorbar(
            [rounds[-1]],
            [summary["gap"]["value"]],
            yerr=[[summary["gap"]["value"] - low], [high - summary["gap"]["value"]]],
            color="#0072B2",
            capsize=4,
        )
    if exact:
        axes.set_yscale("log")
    axes.set_xlabel("exploration round")
    axes.set_ylabel(f"gap $J(\\pi^*) - J(\\pi)$, {'exact' if exact else 'estimated'}")
    below = exact and min(curves["mixture_gaps"][-1], curves["round_gaps"].min()) < floor
    axes.set_title("what was learned" + (" (below 1e-9 of the dashed line: drawn there)" if below else ""), fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_ledger(axes: Any, record: Record) -> None:
    spanner, exploration = record.trace.spanner, record.trace.exploration
    accepted = np.zeros(len(spanner.tries))
    accepted[spanner.rounds] = 2
    samples = np.cumsum(np.concatenate([2.0 * spanner.tries, exploration.samples.astype(np.float64)]))
    rewards = np.cumsum(np.concatenate([accepted, np.full(exploration.rounds, 2.0)]))
    rounds = np.arange(1, len(samples) + 1)
    axes.plot(rounds, samples, color="#0072B2", label="samples asked ($T_{comp}$)")
    axes.plot(rounds, rewards, color="#D55E00", linestyle="-.", label="rewards asked ($T_{data}$)")
    axes.axvline(len(spanner.tries), color="0.4", linewidth=0.8, linestyle=":")
    axes.annotate(
        "spanner | exploration",
        (len(spanner.tries), 0.02),
        xycoords=("data", "axes fraction"),
        ha="center",
        fontsize=8,
        color="0.3",
    )
    axes.set_yscale("log")
    axes.set_xlabel("round of both phases")
    axes.set_ylabel("answers so far")
    axes.set_title("what it cost", fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
