"""asv: whole runs, with time, peak memory, and counters; of the counters too, lower is better."""

from __future__ import annotations

from benchmarks import workloads
from spanver.guarantees.spanner import spanner_size_bound


class ReferenceRun:
    """64 prompts x 4096 responses x 32 dimensions, 2000 rounds of both phases, literal oracle."""

    timeout = 300
    number = 1
    repeat = (1, 3, 30.0)
    warmup_time = 0.0

    def setup_cache(self):
        return workloads.reference_problem()

    def time_run(self, problem):
        workloads.reference_run(problem)

    def peakmem_run(self, problem):
        workloads.reference_run(problem)

    def track_samples(self, problem):
        return workloads.reference_run(problem)[1].samples

    track_samples.unit = "answers"


class NeedleRun:
    """The covered needle with the counted oracle: flat in the coverage."""

    params = (4, 40)
    param_names = ("log2_coverage",)

    def time_run(self, log2_coverage):
        workloads.needle_run(2.0**log2_coverage)

    def track_samples(self, log2_coverage):
        return float(workloads.needle_run(2.0**log2_coverage)[1].samples)

    def track_rewards(self, log2_coverage):
        return workloads.needle_run(2.0**log2_coverage)[1].rewards

    def track_spanner_tightness(self, log2_coverage):
        """Tightness of S4: spanner size over its bound."""
        run, _ = workloads.needle_run(2.0**log2_coverage)
        spanner = run.trace.spanner
        return spanner.size / spanner_size_bound(spanner.dimension, spanner.ridge, spanner.nu)

    track_samples.unit = track_rewards.unit = "answers"
