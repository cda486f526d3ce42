"""The guarantees: their registry, and their bounds as pure functions of numbers (section 4 of mathematics.md).

A guarantee is a value: its statement, kind, source and bound stand in `REGISTRY` and nowhere else. The bounds take and
give numbers, know nothing of problems or oracles, and refuse what is out of range with `ArgumentError`.
"""

from spanver.guarantees.bounds import (
    race_draws,
    race_total_variation,
    sampler_multiplier,
    sampler_samples,
    sampler_trials,
    spanner_cost,
    spanner_size_bound,
    uncovered_budget,
    uncovered_probability,
)
from spanver.guarantees.gaps import (
    confidence_radius,
    kl_bound,
    log_coverage_bound,
    log_kl_bound,
    log_sequence_coverage,
    log_truncated_coverage,
    log_uncovered_mass,
    log_untruncated_coverage,
    score_error,
    score_error_premise,
    truncated_gap,
)
from spanver.guarantees.needle import (
    needle_met_strong,
    needle_met_weak_exact,
    needle_output_ceiling,
    needle_strong_chance,
    needle_success_floor,
)
from spanver.guarantees.parameters import DerivedParameters, derived_parameters
from spanver.guarantees.registry import REGISTRY, Guarantee, Kind, Provenance, guarantee

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
