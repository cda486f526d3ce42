"""What all figures of studies share: colours that the colour-blind can tell apart, intervals, and theory lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spanver.studies.engine.study import Measured, Series, Study

__all__ = ["LOOKS", "draw_series", "draw_study", "draw_theory"]

# Okabe and Ito's palette, with a marker each so that print without colours can be read too.
LOOKS: dict[str, tuple[str, str, str]] = {
    "spanner_sampling": ("#0072B2", "o", "SpannerSampling"),
    "known_coverage": ("#0072B2", "p", "SpannerSampling\n(known C, noisy rewards)"),
    "reference": ("#E69F00", "s", "passive"),
    "online_dpo": ("#D55E00", "^", "OnlineDPO"),
    "xpo": ("#CC79A7", "v", "XPO"),
    "best_of_n": ("#56B4E9", "D", "best-of-N"),
    "elliptical": ("#009E73", "P", "elliptical enumeration"),
    "exhaustive": ("#E69F00", "s", "exhaustive proper search"),
    "evaluated": ("#000000", "x", "evaluations of exhaustive search"),
    "multi_turn": ("#009E73", "X", "multi-turn SpannerSampling"),
    "untruncated": ("#D55E00", "^", "without truncation"),
    "truncated": ("#0072B2", "o", "with truncation"),
    "counted": ("#0072B2", "o", "counted oracle"),
    "literal": ("#E69F00", "s", "literal oracle"),
}


def draw_series(axes: Any, series: Series, *, note: str = "") -> None:
    """Median over the seeds that reached it, with bars that hold the middle half of them."""
    colour, marker, label = LOOKS[series.learner]
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
        color=colour,
        marker=marker,
        markersize=7 if series.learner == "reference" else 4,  # others often lie on it
        capsize=2,
        linewidth=1.2,
        label=f"{label}\n({note})" if note else label,
    )


def draw_theory(axes: Any, sizes: Any, value: Callable[[Any], Any], label: str) -> None:
    """Draw what theory says the growth is, as a dashed line."""
    axes.plot(sizes, value(np.asarray(sizes)), color="0.35", linestyle="--", linewidth=1.0, label=label, zorder=3)


def draw_study(study: Study, measured: Sequence[Measured], folder: Path) -> list[Path]:
    """Draw a study as SVG and PNG, the same bytes for the same data.

    Parameters
    ----------
    study : Study
    measured : sequence of Measured
    folder : Path

    Returns
    -------
    list of Path
    """
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
