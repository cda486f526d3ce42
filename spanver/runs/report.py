"""Terminal tables of runs and certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from spanver.episodic import EpisodicLedger
from spanver.guarantees import guarantee
from spanver.problems.catalogue import layers_of
from spanver.runs.baselines import BASELINES
from spanver.runs.certify import FURTHER, Certificate
from spanver.runs.plans import Plan, largest_costs, planned_samples, theoretical_settings
from spanver.runs.results import paper_cost
from spanver.runs.settings import paper_mtss_settings
from spanver.verdicts import Verdict

_SYMBOLS = {
    "prompts": "T_prompt",
    "pairs_per_prompt": "T_span",
    "nu": "nu",
    "ridge": "lambda",
    "exploration_rounds": "T_exp",
    "rejection_multiplier": "M_rej",
    "rejection_failure": "delta_rej",
    "iterations": "T_prompt",
    "regression_rollouts": "N_reg",
    "span_rollouts": "N_span",
    "base_draws": "Nbar_span",
    "multiplier": "M_rej",
    "failure": "delta_rej",
    "rounds": "T",
    "alpha": "alpha",
    "count": "N",
}
_COSTS = {"samples": "T_comp", "rewards": "T_data"}
_THEORY = (
    "derived: proved safe, far from tight [ours]; paper: FMR25 Algorithm 3, p. 44, with 1 for the constants that it "
    "leaves open"
)
_PAPER_MTSS = "paper: FMR25, J.1.4, p. 83, with 1 for the constant that it leaves open, at its largest accuracy eps = "
_LONG_RUN = 10**6
"""Samples of a drawing oracle, or rounds, from which a run says what it is about to spend."""
_ZERO = 1e-15  # gaps below are rounding


def number(value: float) -> str:
    """Write a number so that a person can read it: integers below a billion in full, others to four digits."""
    if isinstance(value, int | np.integer) and abs(int(value)) < 10**9:
        return f"{int(value):,}"
    return f"{float(value):.4g}"


def settings_table(
    used: Any,
    theory: Mapping[str, Any] | str | None = None,
    *,
    title: str,
    note: str = _THEORY,
    costs: Callable[[Any], Mapping[str, int]] | None = None,
) -> Table:
    """Settings of a run, next to those of the theory with the ratio where it has some.

    Parameters
    ----------
    used : dataclass
    theory : mapping of str to dataclass, str or None
        By kind; why there are none for this run; or None where there are none for this learner.
    title : str
    note : str
        What to say of the settings; a sentence why there are none of the theory takes its place.
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
        if any(isinstance(each, str | bool | None) for each in (value, *others)):
            table.add_row(name, symbol, _word(value), *(each for other in others for each in (_word(other), "")))
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
    table.caption = escape(theory if isinstance(theory, str) else note)
    return table


def _word(value: Any) -> str:
    """Write a setting that is no number, or may be none."""
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else number(value)


def sampling_plan(problem: Any, plan: Plan) -> Iterator[Table | str]:
    """What a run of SpannerSampling says first: settings next to those of the theory, and what it spends if much."""
    costs = partial(largest_costs, dimension=problem.dimension, call=plan.sampler_spec.most)
    yield settings_table(plan.settings, theoretical_settings(problem, plan), title="settings", costs=costs)
    if plan.budget is not None:
        yield f"coverage unknown: stages C = 1, 2, 4, .. within {plan.budget:,} samples (settings of stage 1 above)"
    samples = planned_samples(plan)
    if plan.oracle != "counted" and samples >= _LONG_RUN:
        yield f"about to draw up to {samples:,} samples, one by one"
    rounds = plan.settings.prompts + plan.settings.exploration_rounds
    if rounds >= _LONG_RUN:
        yield f"about to run {rounds:,} rounds, of which a thousand or so take a second; Ctrl-C keeps what is done"


def layered_plan(problem: Any, plan: Plan) -> Iterator[Table | str]:
    """What a run of MTSS says first: its settings next to those of the paper, and what these would ask for."""
    layered = layers_of(problem)
    cost = paper_cost(layered)
    eps, asked = cost["eps"], EpisodicLedger(**cost["ledger"])
    paper = paper_mtss_settings(layered, eps=eps)
    note = f"{_PAPER_MTSS}{number(eps)}: up to {number(asked.samples)} samples, {number(asked.rewards)} rewards"
    yield settings_table(plan.settings, {"paper": paper}, title="settings", note=note)


def practical_plan(problem: Any, plan: Plan) -> Iterator[Table | str]:
    """What a run of a baseline says first: its settings, of which no theory says what they should be."""
    yield settings_table(plan.settings, title="settings", note="practical")


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
    if learner == "mtss":
        tables = [_mtss_table(summary), _layers_table(summary), _sentences_table(summary)]
    else:
        tables = [_run_table(summary), _responses_table(summary)]
    return [table for table in tables if table is not None]


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
    value = _gap(float(estimate["value"]))
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


def _mtss_table(summary: Mapping[str, Any]) -> Table:
    problem, ledger = summary["problem"], EpisodicLedger(**summary["ledger"])
    iterations, asked = summary["iterations"], EpisodicLedger(**summary["paper"]["ledger"])
    table = _results(summary)
    table.columns[2].header = "bound, part or reference"
    if summary["certain"]:
        table.add_row("certain", "yes", f"iteration {summary['returned']} of {len(iterations)} is returned")
    else:
        table.add_row("[red]certain[/red]", "[red]no[/red]", f"[red]none of {len(iterations)} iterations was[/red]")
        table.caption = "[red]Not certain: the policy is the base policy, pi_ref. Nothing was learned.[/red]"
    base, gap = summary["base_gap"], summary["gap"]
    share = f", {gap / base:.3g} of it is left" if base > 0.0 else ""
    table.add_row("gap J(pi*) - J(pi), exact", _gap(gap), f"base policy: {number(base)}{share}")
    parts = {name: sum(values) for name, values in summary["gap_bound"].items()}
    total = sum(parts.values())
    uncovered = number(parts["missed"] + parts["taken"])
    of_parts = f"parameters {number(parts['divergence'])}, what is not covered {uncovered}"
    table.add_row("certificate: the gap is at most", _gap(total), of_parts)
    for heading, of_run, of_paper, what in (
        ("T_comp (Section 5)", ledger.token_computation, asked.token_computation, "samples"),
        ("T_comp (Appendix I.2)", ledger.computation, asked.computation, "samples, features"),
        ("T_data (Section 5)", ledger.token_data, asked.token_data, "rewards"),
        ("T_data (Appendix I.2)", ledger.data, asked.data, "rewards, transitions, resets"),
    ):
        ratio = f"{what}; J.1.4: up to {number(of_paper)}, ratio {of_run / of_paper:.2g}"
        table.add_row(heading, number(of_run), ratio)
    table.add_section()
    for kind, total in asdict(ledger).items():
        fits, searches = (sum(each[part][kind] for each in iterations) for part in ("fit", "search"))
        most = f"; at most {number(summary['bounds'][kind])}, as printed" if kind in summary["bounds"] else ""
        table.add_row(kind, number(total), f"fits {number(fits)}, searches {number(searches)}{most}")
    table.add_section()
    fitted = sum(each["fitted"] for each in iterations)
    table.add_row(
        "iterations", number(len(iterations)), f"{fitted} with fits, {len(iterations) - fitted} searches alone"
    )
    table.add_row("coverage of an action C_cond", number(problem["conditional_coverage"]), "exact")
    horizon, once = problem["horizon"], problem["conditional_coverage"]
    table.add_row(
        "coverage of a trajectory C(pi*)", number(problem["coverage"]), f"C_cond^H = {_power(once, horizon)} (I6)"
    )
    return table


def _power(base: float, exponent: int) -> str:
    return number(base**exponent) if exponent * np.log10(base) < 300 else f"10^{exponent * np.log10(base):.0f}"


def _gap(value: float) -> str:
    return "0 (to rounding)" if abs(value) < _ZERO else number(value)


def _layers_table(summary: Mapping[str, Any]) -> Table:
    """Core-sets, and the parts of the certificate, layer by layer."""
    returned, bound = summary["iterations"][summary["returned"] - 1], summary["gap_bound"]
    table = Table(title="layer by layer, of the policy returned", title_justify="left")
    for heading in ("layer", "pairs", "largest norm^2 left", "parameters", "optimum uncovered", "policy uncovered"):
        table.add_column(heading, justify="right")
    table.add_column("realizable share", justify="right")
    rows = zip(
        returned["sizes"],
        returned["largest"],
        *(bound[name] for name in ("divergence", "missed", "taken")),
        strict=True,
    )
    for layer, (size, largest, *parts) in enumerate(rows, start=1):
        share = summary["problem"]["realizable"][layer - 1]
        table.add_row(str(layer), number(size // 2), number(largest), *map(number, parts), f"{share:.2f}")
    table.caption = (
        "pairs: each also has its anchor's in the core-set; at most "
        f"{number(summary['bounds']['uncertain_pairs'])} of a layer were above the threshold when they came (MT6). "
        "The three parts add up to the certificate"
    )
    return table


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
    table.add_row("gap J(pi*) - J(pi), exact", _gap(summary["gap"]), f"base policy: {number(summary['base_gap'])}")
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
