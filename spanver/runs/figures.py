"""The figure of a run of SpannerSampling: gap and ledger against rounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spanver.errors import ArgumentError
from spanver.learners.spanner_sampling import Trace
from spanver.values import FloatArray

_FORMATS = (".png", ".svg", ".pdf")


def check_figure(path: Path) -> None:
    """Refuse a path whose suffix is of no format that can be drawn.

    Raises
    ------
    ArgumentError
    """
    if path.suffix not in _FORMATS:
        raise ArgumentError("figure", path, f"a path that ends in one of {', '.join(_FORMATS)}")


def draw_figure(summary: Mapping[str, Any], trace: Trace, curves: Mapping[str, FloatArray], path: Path) -> None:
    """Draw gap and ledger against rounds; the suffix of the path (png, svg, pdf) says in which format.

    Parameters
    ----------
    summary : mapping
        Content of `run.json`.
    trace : Trace
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
    _draw_gaps(gaps, summary, curves)
    _draw_ledger(costs, trace)
    plan = summary["plan"]
    figure.suptitle(f"SpannerSampling on {plan['problem']} (seed {plan['seed']})")
    with mpl.rc_context({"svg.hashsalt": "spanver"}):
        figure.savefig(path, dpi=150)


def _draw_gaps(axes: Any, summary: Mapping[str, Any], curves: Mapping[str, FloatArray]) -> None:
    rounds = curves["rounds"]
    exact = summary["gap"]["exact"]
    # On a log scale, gaps that are rounding are drawn at a floor.
    floor = 1e-9 * summary["base_gap"] if exact else -np.inf
    axes.axhline(summary["base_gap"], color="0.4", linestyle="--", label="base policy")
    for name, colour, width, label, order in (
        ("round_gaps", "#E69F00", 0.8, "policy of the round", 3),
        ("mixture_gaps", "#0072B2", 2.0, "mixture of all rounds so far", 2),
    ):
        gaps = np.maximum(curves[name], floor)
        axes.plot(rounds, gaps, color=colour, linewidth=width, label=label, zorder=order)
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
    axes.set_title(
        "what was learned" + ("\n(values below 1e-9 of the base gap are drawn at that level)" if below else ""),
        fontsize=10,
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_ledger(axes: Any, trace: Trace) -> None:
    spanner, exploration = trace.spanner, trace.exploration
    accepted = np.zeros(len(spanner.tries))
    accepted[spanner.rounds] = 2
    samples = np.cumsum(np.concatenate([2.0 * spanner.tries, exploration.samples.astype(np.float64)]))
    rewards = np.cumsum(np.concatenate([accepted, np.full(exploration.rounds, 2.0)]))
    rounds = np.arange(1, len(samples) + 1)
    axes.plot(rounds, samples, color="#0072B2", label="samples ($T_{comp}$)")
    axes.plot(rounds, rewards, color="#D55E00", linestyle="-.", label="rewards ($T_{data}$)")
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
