"""What the record of a whole run of SpannerSampling has to show, whether second responses are drawn or anchors."""

from __future__ import annotations

from functools import partial

import numpy as np

from spanver.guarantees.rounding import gamma, inverse_error, reach, score_error, undecided_scores
from spanver.guarantees.sampler import sampler_samples
from spanver.guarantees.spanner import spanner_size_bound
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check, expect
from spanver.verification.transcript import data_of

from .explored import Explored, first_and_second, sigma_of
from .piloted import drawn_before_trials, expect_threshold, rules_of
from .rounded import assert_fit, assert_near, size_of, threshold_error


def judge_fits(check: Check, problem: TabularProblem, run: Explored) -> None:
    """Every round is fitted to the pairs of the spanner and of all earlier rounds (E6)."""
    for played in (*run.spanner, *run.rounds):
        stray = played.elsewhere
        assert not stray, f"a query about prompt {stray[0].prompt} in a round on {played.prompt}"
    for t, (component, played) in enumerate(zip(run.components, run.rounds, strict=True)):
        assert len(played.rewards) == 2, f"{len(played.rewards)} rewards were drawn in exploration round {t}"
        rounds = run.spanner + run.rounds[:t]
        data = data_of(problem, rounds)
        words = f"of round {t}, on its {len(data[1])} data"
        mistaken = partial(mistaken_data, problem, run, t)
        assert_fit(
            check, words, data, component.theta, problem.shape(problem.radius), size_of(problem, rounds), mistaken
        )


def mistaken_data(problem: TabularProblem, run: Explored, t: int) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Data to which a wrong learner could fit the parameter of a round, by what they are."""
    rounds = {
        "the data of the round itself too: the next parameter": run.spanner + run.rounds[: t + 1],
        "the data without the last round: the parameter before": run.spanner + run.rounds[: max(0, t - 1)],
        "the data of the spanner alone": run.spanner,
        "the data of exploration alone": run.rounds[:t],
        "the data of all rounds: the last parameter": run.spanner + run.rounds,
    }
    return {name: data_of(problem, each) for name, each in rounds.items()}


def judge_truncation(check: Check, problem: TabularProblem, settings: Settings, run: Explored) -> None:
    """All policies truncate by the spanner, at `nu` (S2), and it is no larger than it may be (S4)."""
    sigma = sigma_of(problem, run.spanner, settings.ridge)
    size = len(data_of(problem, run.spanner)[0])
    least = settings.nu - threshold_error(check, problem, sigma, settings.nu, size)
    bound = spanner_size_bound(problem.dimension, settings.ridge, least) if least > 0.0 else size
    assert size <= bound, f"a spanner of {size} pairs, at most {bound} are possible"
    allowed = inverse_error(check.subject.unit, sigma, size, reach(problem.features))
    for component in run.components:
        assert_near(check, "nu of a policy", component.nu, settings.nu, check.subject.unit * settings.nu)
        off = float(np.linalg.norm(component.precision - np.linalg.inv(sigma), 2))
        assert_near(check, "the precision, less the inverse of Sigma_span", off, 0.0, allowed)


def judge_cost_of_rounds(check: Check, problem: TabularProblem, settings: Settings, run: Explored) -> None:
    """An exploration round costs a second response and one call of the sampler, which drew what is rewarded (R1).

    An anchor may have been asked for in an earlier round.
    """
    bound = sampler_samples(settings.rejection_multiplier, settings.rejection_failure) + 1
    for each in run.rounds:
        assert each.samples <= bound, f"{each.samples} samples in a round, at most {bound} are allowed"
        rewarded = {response for response, _ in each.rewards}
        known = each.seen if settings.anchor == "drawn" else each.seen | {int(problem.anchors[int(each.prompt)])}
        assert rewarded <= known, f"rewards of {sorted(map(str, rewarded))} were drawn, but not all these responses"
        check.tightness(each.samples, bound)


def judge_trials(check: Check, problem: TabularProblem, settings: Settings, run: Explored) -> None:
    """Trials have the truncated score and the pilot of their round, where they are left to the oracle (C-A2)."""
    given = {"multiplier": settings.rejection_multiplier, "failure": settings.rejection_failure}
    is_drawn = settings.anchor == "drawn"
    for component, played in zip(run.components, run.rounds, strict=True):
        features = problem.features[int(played.prompt)]
        held = problem.log_base[int(played.prompt)] > -np.inf
        two = first_and_second(played)[1] if is_drawn else int(problem.anchors[int(played.prompt)])
        relative, unit = features - features[two], check.subject.unit
        lengths = np.sqrt(np.maximum(((relative @ component.precision) * relative).sum(axis=1), 0.0))
        judged = held & ~undecided_scores(unit, features, features[two], component.precision, component.nu)
        expected = np.where(lengths <= component.nu, relative @ component.theta, 0.0)
        allowed = 2.0 * float(score_error(unit, features, features[two], component.theta).max())
        # A second response that is drawn is drawn before the trials too.
        queries = [query for query in played.queries if query.name != "anchor"]
        pilot = drawn_before_trials(queries, problem.responses) - is_drawn * np.eye(problem.responses)[two]
        for rule in rules_of(check, queries):
            expect(pilot[two] >= 0.0, "second response that was rewarded", two, "one drawn before the trials")
            # A constant changes nothing (R5).
            scores = rule.score.of(features)
            spread = float(np.ptp((scores - expected)[judged])) if judged.any() else 0.0
            rounded = allowed + gamma(8, unit) * float(np.abs(scores).max())
            expect(spread <= rounded, "scores of the trials of a round, up to a constant", scores, expected)
            if judged[held].all():
                beta = problem.beta
                expect_threshold(check, rule, features, pilot, scores, beta=beta, score_error=rounded, **given)
