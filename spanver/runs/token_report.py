"""What a person sees of a multi-turn run: its settings, what it learned and cost, and sentences where it is text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from spanver.learners.multi_turn import PHASES, MultiTurnSettings
from spanver.runs.report import number

__all__ = ["sentences_table", "token_result_table", "token_settings_table"]

_SYMBOLS = {
    "nu": "nu",
    "ridge": "lambda",
    "rollouts": "N_roll",
    "pairs_per_prefix": "N_check",
    "tests": "N_test",
    "prompts": "T_prompt",
    "rejection_multiplier": "M_rej",
    "rejection_failure": "delta_rej",
    "partition_samples": "samples of Zhat",
}


def token_settings_table(settings: MultiTurnSettings) -> Table:
    """Settings of a multi-turn run."""
    table = Table(title="settings", title_justify="left")
    table.add_column("setting")
    table.add_column("symbol")
    table.add_column("this run", justify="right")
    for name, value in asdict(settings).items():
        table.add_row(name, _SYMBOLS[name], number(value))
    table.caption = r"practical, not proved safe: A4 is reconstructed in every detail \[recon]"
    return table


def token_result_table(summary: Mapping[str, Any]) -> Table:
    """What a multi-turn run came to, beside its bounds.

    Parameters
    ----------
    summary : mapping
        Content of `run.json`.
    """
    problem, ledger, bounds = summary["problem"], summary["ledger"], summary["bounds"]
    table = Table(title=f"result: {summary['plan']['problem']}", title_justify="left")
    table.add_column("quantity")
    table.add_column("this run", justify="right")
    table.add_column("bound or reference", justify="right")
    table.add_row("gap J(pi*) - J(pi), exact", number(summary["gap"]), f"base policy: {number(summary['base_gap'])}")
    table.add_row("samples asked (T_comp)", f"{ledger['samples']:,}", _phases(summary))
    table.add_row("rewards asked (T_data)", number(ledger["rewards"]), "of complete sequences")
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


def sentences_table(summary: Mapping[str, Any]) -> Table | None:
    """Samples before and after, where sequences are text."""
    if summary["sentences"] is None:
        return None
    table = Table(title="samples from the same prompts", title_justify="left")
    table.add_column("base policy")
    table.add_column("after")
    for one, two in zip(summary["sentences"]["before"], summary["sentences"]["after"], strict=True):
        table.add_row(escape(one), escape(two))
    return table
