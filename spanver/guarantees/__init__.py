"""The guarantees: their registry, and their bounds as pure functions of numbers (section 4 of mathematics.md).

A guarantee is a value: its statement, kind, source and bound stand in `REGISTRY` and nowhere else. The bounds take and
give numbers, know nothing of problems or oracles, and refuse what is out of range with `ArgumentError`.
"""

from spanver.guarantees.exploration import (
    confidence_radius,
    log_truncated_coverage,
    log_uncovered_mass,
    log_untruncated_coverage,
    score_error,
    score_error_premise,
    truncated_gap,
)
from spanver.guarantees.guarantee import Guarantee, Kind, Provenance
from spanver.guarantees.headline import (
    needle_met_strong,
    needle_met_weak_exact,
    needle_output_ceiling,
    needle_strong_chance,
    needle_success_floor,
)
from spanver.guarantees.identities import kl_bound, log_coverage_bound, log_kl_bound, log_sequence_coverage
from spanver.guarantees.parameters import DerivedParameters, derived_parameters
from spanver.guarantees.registry import REGISTRY, guarantee
from spanver.guarantees.sampler import (
    race_draws,
    race_samples,
    race_total_variation,
    sampler_multiplier,
    sampler_samples,
    sampler_trials,
)
from spanver.guarantees.spanner import spanner_cost, spanner_size_bound, uncovered_budget, uncovered_probability

__all__ = [
    "REGISTRY",
    "DerivedParameters",
    "Guarantee",
    "Kind",
    "Provenance",
    "confidence_radius",
    "derived_parameters",
    "guarantee",
    "kl_bound",
    "log_coverage_bound",
    "log_kl_bound",
    "log_sequence_coverage",
    "log_truncated_coverage",
    "log_uncovered_mass",
    "log_untruncated_coverage",
    "needle_met_strong",
    "needle_met_weak_exact",
    "needle_output_ceiling",
    "needle_strong_chance",
    "needle_success_floor",
    "race_draws",
    "race_samples",
    "race_total_variation",
    "sampler_multiplier",
    "sampler_samples",
    "sampler_trials",
    "score_error",
    "score_error_premise",
    "spanner_cost",
    "spanner_size_bound",
    "truncated_gap",
    "uncovered_budget",
    "uncovered_probability",
]
