"""What all figures of studies share: curves with intervals, theory lines, and how they are written."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaincinv

from spanver.studies.engine.study import Measurement, Series, Study
from spanver.studies.engine.styles import Style
from spanver.studies.entrants import STYLES
from spanver.values import FloatArray, IntArray


def draw_series(axes: Any, series: Series, *, note: str = "", style: Style | None = None) -> None:
    """Median over the seeds that reached it, with bars that hold the middle half of them; the learner's own style."""
    style = style or STYLES[series.learner]
    reached = np.isfinite(series.values).any(axis=0)
    if not reached.any():
        return
    values = series.values[:, reached]
    middle = np.nanmedian(values, axis=0)
    spread = np.abs(np.nanpercentile(values, [25, 75], axis=0) - middle)
    axes.errorbar(
        series.sizes[reached],
        middle,
        yerr=spread,
        color=style.colour,
        marker=style.marker,
        markersize=style.marker_size,
        capsize=2,
        linewidth=1.2,
        label=f"{style.label}\n({note})" if note else style.label,
    )


def draw_chances(axes: Any, learner: str, sizes: FloatArray, counts: IntArray | FloatArray) -> None:
    """Shares with Clopper and Pearson's .95 interval, of counts of successes and of runs, shape (m, 2)."""
    style = STYLES[learner]
    reached, runs = counts[:, 0].astype(float), counts[:, 1].astype(float)
    share_of = reached / runs
    low = np.where(reached > 0, betaincinv(np.maximum(reached, 0.5), runs - reached + 1.0, 0.025), 0.0)
    high = np.where(reached < runs, betaincinv(reached + 1.0, np.maximum(runs - reached, 0.5), 0.975), 1.0)
    axes.errorbar(
        sizes, share_of, yerr=[share_of - low, high - share_of], color=style.colour, marker=style.marker, markersize=4,
        capsize=2, linestyle="none", label=style.label,
    )  # fmt: skip


def draw_theory(axes: Any, sizes: Any, value: Callable[[Any], Any], label: str) -> None:
    """Draw what theory says the growth is, as a dashed line."""
    axes.plot(sizes, value(np.asarray(sizes)), color="0.35", linestyle="--", linewidth=1.0, label=label, zorder=3)


def finish(axes: Any, title: str, label: str, *, x: str = "log", y: str = "log", legend: bool = True) -> None:
    """Scales (logarithmic in base 2 on the first axis), label of the first axis, title, grid and legend."""
    axes.set_xscale(x, **({"base": 2} if x == "log" else {}))
    axes.set_yscale(y)
    axes.set_xlabel(label)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(fontsize=8)


def draw_study(study: Study, measured: Sequence[Measurement], folder: Path) -> list[Path]:
    """Draw a study as SVG and PNG, the same bytes for the same data."""
    import matplotlib as mpl  # noqa: PLC0415 (slow to import, and only figures need it)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    study.draw(figure, measured)
    figure.suptitle(study.title, fontsize=12)
    figure.supxlabel("\n".join(textwrap.wrap(study.caption, 150)), fontsize=8, color="0.3")
    paths = [folder / f"{study.name}.{suffix}" for suffix in ("svg", "png")]
    with mpl.rc_context({"svg.hashsalt": "spanver"}):
        for path in paths:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths
