"""The independent implementation as a subject."""

from __future__ import annotations

from spanver.subjects.contract import CLAIMS, Subject
from spanver.zoo.independent.algebra import (
    draw,
    draw_batch,
    draw_distinct,
    draw_logits,
    draw_weights,
    elliptic_norms,
    kl_divergence,
    kl_estimate,
    log_coverage,
    log_softmax,
    truncated_scores,
)
from spanver.zoo.independent.baselines import best_of_n, elliptical_enumeration, online_dpo, passive_learner, xpo
from spanver.zoo.independent.boxes import box_fit
from spanver.zoo.independent.exploration import anchored_sampling, build_spanner, preference_sampling, spanner_sampling
from spanver.zoo.independent.layered import policy_q, soft_q
from spanver.zoo.independent.losses import fit_preferences
from spanver.zoo.independent.mtss import fit_value, mtss, uncertain_state_action
from spanver.zoo.independent.oracle import counted_oracle, generalised_oracle, literal_oracle
from spanver.zoo.independent.regressions import fit, ridge_regression
from spanver.zoo.independent.samplers import race_sample, softmax_sample, softmax_sample_density
from spanver.zoo.independent.spanning_sets import barycentric_spanner, covering_list, pivoted_diagonal

INDEPENDENT = Subject(
    name="independent",
    functions={
        each.__name__: each
        for each in (
            elliptic_norms, log_softmax, truncated_scores, kl_divergence, kl_estimate, log_coverage, fit,
            box_fit, ridge_regression, draw, draw_weights, draw_logits, draw_batch, draw_distinct, barycentric_spanner,
            covering_list, pivoted_diagonal, softmax_sample, softmax_sample_density, race_sample, build_spanner,
            spanner_sampling, passive_learner, online_dpo, xpo, elliptical_enumeration, best_of_n, soft_q, policy_q,
            literal_oracle, counted_oracle, fit_preferences, preference_sampling, anchored_sampling, generalised_oracle,
            fit_value, uncertain_state_action, mtss,
        )
    },
    claims=frozenset(CLAIMS),
)  # fmt: skip
