"""Terminal tables of runs and certificates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from spanver.guarantees import guarantee
from spanver.learners.multi_turn import PHASES
from spanver.learners.spanner_sampling import Settings
from spanver.runs.baselines import BASELINES
from spanver.runs.certify import FURTHER, Certificate
from spanver.verdicts import Verdict

_SYMBOLS = {
    "prompts": "T_prompt",
    "pairs_per_prompt": "T_span",
    "nu": "nu",
    "ridge": "lambda",
    "exploration_rounds": "T_exp",
    "rejection_multiplier": "M_rej",
    "rejection_failure": "delta_rej",
    "rollouts": "N_roll",
    "pairs_per_prefix": "N_check",
    "tests": "N_test",
    "rounds": "T",
    "alpha": "alpha",
    "count": "N",
}
_COSTS = {"samples": "T_comp", "rewards": "T_data"}
_THEORY = (
    "derived: proved safe, far from tight [ours]; paper: FMR25 Algorithm 3, p. 44, with 1 for the constants that it "
    "leaves open"
)
_ZERO = 1e-15  # gaps below are rounding


def number(value: float) -> str:
    """Write a number so that a person can read it: integers below a billion in full, others to four digits."""
    if isinstance(value, int | np.integer) and abs(int(value)) < 10**9:
        return f"{int(value):,}"
    return f"{float(value):.4g}"


def settings_table(
    used: Any,
    theory: Mapping[str, Settings] | str | None = None,
    *,
    title: str,
    note: str = "",
    costs: Callable[[Any], Mapping[str, int]] | None = None,
) -> Table:
    """Settings of a run, next to those of the theory with the ratio where it has some.

    Parameters
    ----------
    used : dataclass
    theory : mapping of str to Settings, str or None
        By kind; why there are none for this run; or None where there are none for this learner.
    title : str
    note : str
        What to say of settings where there are none of the theory.
    costs : callable, optional
        The most that a run with settings may ask for, by name.
    """
    kinds = theory if isinstance(theory, Mapping) else {}
    table = Table(title=title, title_justify="left")
    table.add_column("setting")
    table.add_column("symbol")
    for heading in ("this run", *(each for kind in kinds for each in (kind, "ratio"))):
        table.add_column(heading, justify="right")

    def add(name: str, symbol: str, value: Any, others: list[Any]) -> None:
        if isinstance(value, str):
            table.add_row(name, symbol, value, *(each for other in others for each in (other, "")))
        else:
            ratios = (each for other in others for each in (number(other), f"{value / other:.2g}"))
            table.add_row(name, symbol, number(value), *ratios)

    for name, value in asdict(used).items():
        add(name, _SYMBOLS.get(name, "-"), value, [getattr(each, name) for each in kinds.values()])
    if costs is not None and kinds:
        table.add_section()
        most, others = costs(used), [costs(each) for each in kinds.values()]
        for name, value in most.items():
            add(f"{name}, at most", _COSTS[name], value, [each[name] for each in others])
    table.caption = escape(theory if isinstance(theory, str) else _THEORY if kinds else note)
    return table


def result_tables(summary: Mapping[str, Any]) -> list[Table]:
    """What resulted from a run of any kind, next to its bounds, and samples of text where it is one.

    Parameters
    ----------
    summary : mapping
        Content of `run.json`.
    """
    learner = summary["plan"]["learner"]
    if learner in BASELINES:
        return [_baseline_table(summary)]
    if learner == "multi_turn":
        further, table = _sentences_table(summary), _token_table(summary)
    else:
        further, table = _responses_table(summary), _run_table(summary)
    return [table] if further is None else [table, further]


def _results(summary: Mapping[str, Any]) -> Table:
    table = Table(title=f"result: {summary['plan']['problem']}", title_justify="left")
    table.add_column("quantity")
    table.add_column("this run", justify="right")
    table.add_column("bound or reference", justify="right")
    return table


def _run_table(summary: Mapping[str, Any]) -> Table:
    gap, improvement, ledger, limits = summary["gap"], summary["improvement"], summary["ledger"], summary["bounds"]
    exact = "exact" if gap["exact"] else "estimated"
    table = _results(summary)
    table.add_row(f"gap J(pi*) - J(pi), {exact}", _with_interval(gap), f"base policy: {number(summary['base_gap'])}")
    table.add_row(f"gain J(pi) - J(base), {exact}", _with_interval(improvement), "above 0")
    table.add_row("samples (T_comp)", f"{ledger['samples']:,}", f"at most {number(limits['samples'])} (S7, R1)")
    table.add_row("rewards (T_data)", number(ledger["rewards"]), f"at most {number(limits['rewards'])} (S4, S7)")
    table.add_row("spanner size", number(summary["spanner"]["size"]), f"at most {number(limits['spanner_size'])} (S4)")
    coverage = summary["problem"]["coverage"]
    planned = summary["coverage_reached"] or summary["plan"]["coverage"]
    reached = "reached" if summary["coverage_reached"] else "settings for"
    known = "not known" if coverage is None else f"{number(coverage)}, exact"
    table.add_row("coverage C(pi*)", known, f"{reached}: {number(planned)}")
    if limits["score_error"] is None:
        table.add_row("premise of E8: nu gamma", "-", "from rewards alone (E1)")
    else:
        premise = "met: at most" if limits["score_error"] <= limits["score_error_limit"] else "not met: above"
        table.add_row(
            "premise of E8: nu gamma",
            number(limits["score_error"]),
            f"{premise} beta = {number(limits['score_error_limit'])}",
        )
    outcomes = summary["outcomes"]
    table.add_row("clipped / fallback outputs", f"{outcomes['clipped']} / {outcomes['fallback']}", _clipping(outcomes))
    evaluation = summary["evaluation"]
    if evaluation["ledger"]["samples"]:
        table.add_row("samples of the evaluation", number(evaluation["ledger"]["samples"]), "on top of those above")
    table.caption = f"gap: {evaluation['method']}"
    return table


def _clipping(outcomes: Mapping[str, int]) -> str:
    return "M_rej looks too small" if outcomes["clipped"] else "no clipping observed (no proof that M_rej suffices)"


def _with_interval(estimate: Mapping[str, float]) -> str:
    value = "0 (to rounding)" if abs(float(estimate["value"])) < _ZERO else number(float(estimate["value"]))
    if estimate["exact"] or estimate["low"] is None:
        return value
    return f"{value} [{number(float(estimate['low']))}, {number(float(estimate['high']))}] 95 %"


def _responses_table(summary: Mapping[str, Any]) -> Table | None:
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


def _token_table(summary: Mapping[str, Any]) -> Table:
    problem, ledger, bounds = summary["problem"], summary["ledger"], summary["bounds"]
    table = _results(summary)
    table.add_row("gap J(pi*) - J(pi), exact", number(summary["gap"]), f"base policy: {number(summary['base_gap'])}")
    table.add_row("samples (T_comp)", f"{ledger['samples']:,}", _phases(summary))
    table.add_row("rewards (T_data)", number(ledger["rewards"]), "of complete sequences")
    sizes = ", ".join(map(str, summary["spanner_sizes"]))
    table.add_row("spanner sizes, first token first", sizes, f"at most {number(bounds['spanner_size'])} each (S4)")
    table.add_row("sweeps", number(len(summary["starts"])), f"at most {number(bounds['sweeps'])} (S4)")
    table.add_row("coverage of a token C_cond", number(problem["conditional_coverage"]), "exact")
    horizon, token = problem["horizon"], problem["conditional_coverage"]
    table.add_row(
        "coverage of a sequence C(pi*)", number(problem["coverage"]), f"C_cond^H = {number(token**horizon)} (I6)"
    )
    shares = ", ".join(f"{share:.2f}" for share in problem["realizable"])
    table.add_row("realizable share of each layer", shares, "1 where linear")
    return table


def _phases(summary: Mapping[str, Any]) -> str:
    return ", ".join(f"{phase} {summary['phases'][phase]['samples']:,}" for phase in PHASES)


def _sentences_table(summary: Mapping[str, Any]) -> Table | None:
    """Samples before and after, where sequences are text."""
    if summary["sentences"] is None:
        return None
    table = Table(title="samples from the same prompts", title_justify="left")
    table.add_column("base policy")
    table.add_column("after")
    for one, two in zip(summary["sentences"]["before"], summary["sentences"]["after"], strict=True):
        table.add_row(escape(one), escape(two))
    return table


def _baseline_table(summary: Mapping[str, Any]) -> Table:
    ledger, limits, problem = summary["ledger"], summary["bounds"], summary["problem"]
    table = _results(summary)
    table.title = f"result: {BASELINES[summary['plan']['learner']].title} on {summary['plan']['problem']}"
    gap = "0 (to rounding)" if abs(summary["gap"]) < _ZERO else number(summary["gap"])
    table.add_row("gap J(pi*) - J(pi), exact", gap, f"base policy: {number(summary['base_gap'])}")
    for name, symbol in (("samples", "T_comp"), ("rewards", "T_data"), ("enumerated", "listed responses")):
        table.add_row(f"{name} ({symbol})", f"{ledger[name]:,}", f"at most {number(limits[name])}")
    table.add_row("coverage C(pi*)", f"{number(problem['coverage'])}, exact", "-")
    return table


def certificate_table(certificate: Certificate) -> Table:
    """Verdicts of `certify`, one row a guarantee, and those of `FURTHER` in their places."""
    table = Table()
    for heading in ("id", "guarantee", "verdict", "finding"):
        table.add_column(heading)
    for claim in certificate.claims:
        colour = claim.verdict.colour
        title = FURTHER[claim.id] if claim.id in FURTHER else guarantee(claim.id).title
        table.add_row(claim.id, title, f"[{colour}]{claim.verdict.value}[/{colour}]", escape(claim.finding))
    return table


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    """Plain data of a certificate: guarantees, further rows, what was not compared, and what is violated."""
    rows = [asdict(claim) | {"verdict": claim.verdict.value} for claim in certificate.claims]
    return {
        "schema": "spanver.certificate/2",
        "guarantees": [row for row in rows if row["id"] not in FURTHER],
        "further": [row for row in rows if row["id"] in FURTHER],
        "footer": {
            "violated": [claim.id for claim in certificate.claims if claim.verdict is Verdict.VIOLATED],
            "uncompared": certificate.uncompared,
            "uncertified": certificate.uncertified,
        },
    }
