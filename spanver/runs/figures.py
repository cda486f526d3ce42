"""Figures of runs: of SpannerSampling gap and ledger against rounds; of MTSS what was uncertain, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spanver.episodic import EpisodicLedger
from spanver.errors import ArgumentError
from spanver.learners.mtss import MTSSRun
from spanver.learners.spanner_sampling import Trace
from spanver.runs.records import LayeredRun, Record, Sampled

_FORMATS = (".png", ".svg", ".pdf")


def check_figure(path: Path) -> None:
    """Refuse a path whose suffix is of no format that can be drawn.

    Raises
    ------
    ArgumentError
    """
    if path.suffix not in _FORMATS:
        raise ArgumentError("figure", path, f"a path that ends in one of {', '.join(_FORMATS)}")


def draw_figure(record: Record, path: Path) -> None:
    """Draw a run of SpannerSampling or MTSS; the suffix of the path (png, svg, pdf) says in which format.

    Parameters
    ----------
    record : Record
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
    learned, costs = figure.subplots(1, 2)
    if isinstance(record.did, Sampled):
        title = "SpannerSampling"
        _draw_gaps(learned, record.summary, record.did)
        _draw_ledger(costs, record.did.trace)
    else:
        assert isinstance(record.did, LayeredRun)
        title = "MTSS"
        _draw_uncertain(learned, record.did.run)
        _draw_answers(costs, record.did.run)
    figure.suptitle(f"{title} on {record.plan.problem} (seed {record.plan.seed})")
    with mpl.rc_context({"svg.hashsalt": "spanver"}):
        figure.savefig(path, dpi=150)


def _draw_uncertain(axes: Any, run: MTSSRun) -> None:
    """Largest norm that each search found, layer by layer, next to the threshold."""
    import matplotlib as mpl  # noqa: PLC0415

    rounds = np.arange(1, len(run.iterations) + 1)
    norms = np.sqrt([each.largest for each in run.iterations])
    horizon = norms.shape[1]
    for layer, colour in enumerate(mpl.colormaps["viridis"](np.linspace(0.0, 0.9, horizon))):
        axes.plot(rounds, norms[:, layer], color=colour, marker=".", linewidth=1.2, label=f"layer {layer + 1}")
    axes.axhline(np.sqrt(run.settings.tolerance), color="#D55E00", linestyle="--", label="threshold")
    fitted = rounds[[each.fitted for each in run.iterations]]
    for number, place in enumerate(fitted if len(fitted) < len(rounds) else ()):
        axes.axvline(place, color="0.8", linewidth=6, zorder=0, label=None if number else "fitted")
    if run.certain:
        axes.plot(
            [run.returned], [norms[run.returned - 1].max()], "*", color="#D55E00", markersize=14, label="returned"
        )
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("iteration")
    axes.set_ylabel(r"largest $\|\varphi - \varphi_{anchor}\|_{\Sigma_h^{-1}}$ found")
    axes.set_title(
        "what was uncertain" if run.certain else "what was uncertain (never certain: $\\pi_{ref}$)", fontsize=10
    )
    axes.legend(fontsize=7, ncols=1 + horizon // 8)
    axes.grid(alpha=0.3)


def _draw_answers(axes: Any, run: MTSSRun) -> None:
    """Answers of each kind so far."""
    rounds = np.arange(1, len(run.iterations) + 1)
    total, counts = EpisodicLedger(), []
    for each in run.iterations:
        total += each.fit + each.search
        counts.append(total)
    for name, colour, style in (
        ("samples", "#0072B2", "-"),
        ("features", "#56B4E9", "--"),
        ("transitions", "#009E73", ":"),
        ("resets", "#CC79A7", (0, (5, 1))),
        ("rewards", "#D55E00", "-."),
    ):
        answers = np.array([float(getattr(each, name)) for each in counts])
        if answers.any():
            seen = np.where(answers > 0.0, answers, np.nan)  # on a log scale
            axes.plot(rounds, seen, color=colour, linestyle=style, marker=".", label=name)
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("iteration")
    axes.set_ylabel("answers so far")
    axes.set_title("what it cost", fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_gaps(axes: Any, summary: Mapping[str, Any], did: Sampled) -> None:
    rounds = did.rounds
    exact = summary["gap"]["exact"]
    # On a log scale, gaps that are rounding are drawn at a floor.
    floor = 1e-9 * summary["base_gap"] if exact else -np.inf
    axes.axhline(summary["base_gap"], color="0.4", linestyle="--", label="base policy")
    for gaps, colour, width, label, order in (
        (did.round_gaps, "#E69F00", 0.8, "policy of the round", 3),
        (did.mixture_gaps, "#0072B2", 2.0, "mixture of all rounds so far", 2),
    ):
        axes.plot(rounds, np.maximum(gaps, floor), color=colour, linewidth=width, label=label, zorder=order)
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
    below = exact and min(did.mixture_gaps[-1], did.round_gaps.min()) < floor
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
