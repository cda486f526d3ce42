"""`spanver run`: a learner on a problem, what it learned, and what it cost beside its bounds."""

from __future__ import annotations

import shlex
from collections.abc import Container
from pathlib import Path
from typing import Annotated

import typer

from spanver.cli.terminal import check_outputs, console, errors, plain, rounds_progress, status, stoppable
from spanver.errors import ArgumentError, InterruptedRunError
from spanver.verdicts import Verdict

__all__ = ["run"]

LONG_RUN = 10**6  # samples of a drawing oracle, or rounds, from which a run says what it is about to spend

Option = typer.Option


def run(
    context: typer.Context,
    problem: Annotated[
        str,
        Option(
            help="text, random, needle, covered_needle, max_k_dnf or tokens, then :key=value,.. (2**40 is a number)."
        ),
    ] = "text",
    learner: Annotated[
        str, Option(help="spanner_sampling, or multi_turn for text (word by word) and tokens.")
    ] = "spanner_sampling",
    oracle: Annotated[str | None, Option(help="counted or literal, for tables. [default: counted]")] = None,
    sampler: Annotated[str | None, Option(help="softmax (A1) or race (A1r). [default: softmax; race on text]")] = None,
    seed: Annotated[int, Option(help="Seed of the run; the problem has one of its own, a key of the problem.")] = 0,
    settings: Annotated[
        str, Option(help="practical, or derived: those that the theory proves, far too many rounds to run.")
    ] = "practical",
    eps: Annotated[float, Option(help="Accuracy that derived settings are for.")] = 0.1,
    delta: Annotated[float, Option(help="Failure probability that derived settings and bounds are for.")] = 0.1,
    coverage: Annotated[
        str | None, Option(help="That settings are for, or 'unknown' (with --budget). [default: the exact one]")
    ] = None,
    budget: Annotated[int | None, Option(help="Samples that a run of unknown coverage may ask for.")] = None,
    prompts: Annotated[int | None, Option(help="T_prompt, prompt rounds of the spanner phase.")] = None,
    pairs_per_prompt: Annotated[int | None, Option(help="T_span, most pairs tried in one of them.")] = None,
    nu: Annotated[float | None, Option(help="nu, elliptic norm above which a pair is uncertain.")] = None,
    ridge: Annotated[float | None, Option(help="lambda, ridge of Sigma.")] = None,
    exploration_rounds: Annotated[int | None, Option(help="T_exp, exploration rounds.")] = None,
    rejection_multiplier: Annotated[float | None, Option(help="M_rej, rejection multiplier of the sampler.")] = None,
    rejection_failure: Annotated[
        float | None, Option(help="delta_rej, failure probability of one sampler call.")
    ] = None,
    rollouts: Annotated[int | None, Option(help="N_roll of multi_turn, from each token of each pair.")] = None,
    pairs_per_prefix: Annotated[
        int | None, Option(help="N_check of multi_turn, token pairs tried at a prefix.")
    ] = None,
    tests: Annotated[int | None, Option(help="N_test of multi_turn, rollouts at the end.")] = None,
    partition_samples: Annotated[
        int | None, Option(help="Samples of multi_turn for each estimate of a normaliser.")
    ] = None,
    out: Annotated[Path, Option("--out", "--json", help="Record; arrays lie beside it as .npz.")] = Path("run.json"),
    figure: Annotated[
        Path | None, Option(help="Draw gap and ledger against rounds (png, svg, pdf); not of multi_turn.")
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the unfinished run of --out, as it was planned; not of multi_turn.")
    ] = False,
) -> None:
    """Run a learner on a problem, and show what was learned and what it cost beside its bounds."""
    if learner == "multi_turn":
        _run_multi_turn(context)
        return
    from spanver.problems.catalogue import (  # noqa: PLC0415
        FAMILIES,
        TOKEN_FAMILIES,
        make_problem,
        parse_problem,
    )
    from spanver.runs import execution as runs  # noqa: PLC0415 (keeps --help quick)
    from spanver.runs import plans  # noqa: PLC0415
    from spanver.runs.records import checkpoint_path, load_checkpoint, load_record  # noqa: PLC0415
    from spanver.runs.report import check_figure, draw_figure, responses_table, result_table, settings_table  # noqa: PLC0415

    if learner != "spanner_sampling":
        allowed = "spanner_sampling or multi_turn; baselines run in studies and from Python (spanver.learners.rounds)"
        raise ArgumentError("learner", learner, allowed)
    _refuse_options(context, _ONLY_MULTI_TURN, "left out, as it is a setting of multi_turn")
    check_outputs(out, figure)
    _check_record(out)
    if figure is not None:
        check_figure(figure)
    given = {
        "prompts": prompts,
        "pairs_per_prompt": pairs_per_prompt,
        "nu": nu,
        "ridge": ridge,
        "exploration_rounds": exploration_rounds,
        "rejection_multiplier": rejection_multiplier,
        "rejection_failure": rejection_failure,
    }
    if resume:
        _refuse_plan_options(context)
        start = load_checkpoint(out)
        plan = start.plan
        with status(f"building problem {plan.problem}"):
            built = make_problem(plan.problem, plan.parameters)
    else:
        start = None
        runs.refuse_unfinished(out)
        name = problem.partition(":")[0]
        if name in TOKEN_FAMILIES and name not in FAMILIES:
            raise ArgumentError("learner", learner, f"multi_turn for problem {name}")
        name, parameters = parse_problem(problem)
        with status(f"building problem {name}"):
            built = make_problem(name, parameters)
        plan = plans.make_plan(
            built,
            seed=seed,
            oracle=oracle,
            sampler=sampler,
            settings_kind=settings,
            overrides={key: value for key, value in given.items() if value is not None},
            coverage=_coverage(coverage, budget),
            eps=eps,
            delta=delta,
            budget=budget,
        )
    console.print(
        f"[bold]SpannerSampling[/bold] on [bold]{plan.problem}[/bold], {plan.oracle} oracle, seed {plan.seed}"
    )
    derived = plans.derived_beside(built, plan)
    console.print(settings_table(plan.settings, derived, title="settings"))
    if plan.budget is not None:
        console.print(
            f"coverage unknown: stages C = 1, 2, 4, .. within {plan.budget:,} samples (settings of stage 1 above)"
        )
    cost = plans.planned_samples(plan)
    if plan.oracle != "counted" and cost >= LONG_RUN:
        console.print(f"about to ask for up to {cost:,} samples, one by one")
    rounds = plan.settings.prompts + plan.settings.exploration_rounds
    if rounds >= LONG_RUN:
        console.print(
            f"about to run {rounds:,} rounds, of which a thousand or so take a second; Ctrl-C keeps what is done"
        )
    totals: dict[str, int | None] = {
        "spanner": None if plan.budget is not None else plan.settings.prompts,
        "exploration": None if plan.budget is not None else plan.settings.exploration_rounds,
    }
    totals["evaluation"] = runs.EVALUATION_PROMPTS if plan.oracle == "text" else totals["exploration"]
    with stoppable() as stop, rounds_progress(totals) as on_round:
        try:
            finished = runs.execute(plan, out, start=start, on_round=on_round, stop=stop, problem=built)
        except InterruptedRunError as error:
            errors.print(f"{error}. Go on with:", style="yellow", markup=False, highlight=False)
            plain(_how_to_go_on(out), errors)
            raise typer.Exit(Verdict.UNDECIDED.exit_code) from None
        except KeyboardInterrupt:
            errors.print("stopped in the middle of a round.", style="yellow")
            if checkpoint_path(out).exists():
                plain(f"Go on from the last checkpoint with:\n{_how_to_go_on(out)}", errors)
            raise typer.Exit(Verdict.UNDECIDED.exit_code) from None
    console.print(result_table(finished.summary))
    responses = responses_table(finished.summary)
    if responses is not None:
        console.print(responses)
    if figure is not None:
        draw_figure(load_record(out), finished.curves, figure)
        plain(f"figure: {figure}")
    plain(f"record: {out} (check it with: spanver certify {shlex.quote(str(out))})")


_ONLY_MULTI_TURN = ("rollouts", "pairs_per_prefix", "tests", "partition_samples")
_ALSO_MULTI_TURN = ("prompts", "nu", "ridge", "rejection_multiplier", "rejection_failure")


def _run_multi_turn(context: typer.Context) -> None:
    """`spanver run --learner multi_turn`."""
    from spanver.problems.catalogue import TOKEN_FAMILIES, make_token_problem, parse_problem  # noqa: PLC0415
    from spanver.runs.execution import refuse_unfinished  # noqa: PLC0415
    from spanver.runs.plans import make_token_plan  # noqa: PLC0415
    from spanver.runs.token_execution import execute_tokens  # noqa: PLC0415
    from spanver.runs.token_report import sentences_table, token_result_table, token_settings_table  # noqa: PLC0415

    options, out = context.params, context.params["out"]
    known = {"problem", "learner", "sampler", "seed", "out", *_ONLY_MULTI_TURN, *_ALSO_MULTI_TURN}
    _refuse_options(context, set(options) - known, "left out with learner multi_turn")
    check_outputs(out)
    _check_record(out)
    refuse_unfinished(out)
    name, parameters = parse_problem(options["problem"], TOKEN_FAMILIES)
    with status(f"building problem {name}"):
        problem = make_token_problem(name, parameters)
    names = (*_ALSO_MULTI_TURN, *_ONLY_MULTI_TURN)
    given = {name: options[name] for name in names if options[name] is not None}
    plan = make_token_plan(
        name, problem, seed=options["seed"], sampler=options["sampler"] or "softmax", overrides=given
    )
    console.print(f"[bold]multi-turn SpannerSampling[/bold] on [bold]{name}[/bold], seed {plan.seed}")
    console.print(token_settings_table(plan.settings))
    try:
        with status("exploring"):
            summary = execute_tokens(plan, out, problem=problem)
    except KeyboardInterrupt:
        errors.print("stopped; a multi-turn run is not kept until it is done", style="yellow")
        raise typer.Exit(Verdict.UNDECIDED.exit_code) from None
    console.print(token_result_table(summary))
    sentences = sentences_table(summary)
    if sentences is not None:
        console.print(sentences)
    plain(f"record: {out} (check it with: spanver certify {shlex.quote(str(out))})")


def _how_to_go_on(out: Path) -> str:
    return f"    spanver run --resume --out {shlex.quote(str(out))}"


def _coverage(text: str | None, budget: int | None) -> float | None:
    if text == "unknown":
        if budget is None:
            raise ArgumentError("coverage", text, "a number where no budget of samples is given")
        return None
    if budget is not None:
        raise ArgumentError("budget", budget, "left out where the coverage is not 'unknown'")
    if text is None:
        return None
    from spanver.problems.catalogue import parse_number  # noqa: PLC0415

    return parse_number("coverage", text)


def _refuse_plan_options(context: typer.Context) -> None:
    """Refuse options beside --resume that would change what was planned."""
    allowed = {"resume", "out", "figure"}
    _refuse_options(context, set(context.params) - allowed, "left out with --resume, which goes on as planned")


def _refuse_options(context: typer.Context, names: Container[str], allowed: str) -> None:
    """Refuse options that were given on the command line."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name in names and source is not None and source.name == "COMMANDLINE":
            raise ArgumentError(name, context.params[name], allowed)


def _check_record(out: Path) -> None:
    if out.suffix != ".json":
        raise ArgumentError("out", out, "a path that ends in .json (its arrays lie beside it, in .npz)")
