"""Compare the reference run with plain loops, in one process: `python -m benchmarks.reference_run`.

Prints both times, the ratio, and the peak memory of the package's side, which runs first. BLAS is held to one thread.
"""

from __future__ import annotations

import resource
import time

from rich.console import Console
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.naive import naive_spanner_sampling
from benchmarks.workloads import REFERENCE_SETTINGS, reference_problem, reference_run


def main() -> None:
    console = Console(highlight=False)
    problem = reference_problem()
    with threadpool_limits(1):
        for pool in threadpool_info():
            console.print(f"{pool['user_api']}: {pool['internal_api']} {pool['version']}, {pool['num_threads']} thread")
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            run, ledger = reference_run(problem)
            seconds.append(time.perf_counter() - began)
        ours = sorted(seconds)[1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = run.trace.spanner.size
        console.print(f"package:     {ours:8.2f} s (median of 3), {ledger.samples:,} samples, spanner of {size}")
        console.print(f"peak memory: {peak:8.0f} MB")
        began = time.perf_counter()
        naive = naive_spanner_sampling(problem, REFERENCE_SETTINGS, seed=1)
        plain = time.perf_counter() - began
    console.print(f"plain loops: {plain:8.2f} s, {naive.samples:,} samples, spanner of {naive.spanner_size}")
    console.print(f"ratio:       {plain / ours:8.1f}")


if __name__ == "__main__":
    main()
