"""Frequency of false alarms: many runs of the statistical guarantees on the reference, each with a fresh seed.

    python -m benchmarks.false_alarms --runs 200 --alpha 0.05
    python -m benchmarks.false_alarms --runs 20

A correct subject may show a violation in at most a fraction `alpha` of the runs. The script prints how many did, and
an interval for the fraction. Seeds are consecutive, from `--seed` or from a random number.
"""

from __future__ import annotations

import argparse
import secrets
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.hunt import interval
from spanver.verification.request import Request
from spanver.verification.runner import run_properties


def violations(alpha: float, seed: int) -> tuple[int, list[str]]:
    """Seed of one run, and the properties that were violated in it."""
    only = ",".join(sorted({each.guarantees[0] for each in find_properties() if each.statistical}))
    findings = run_properties(Request(only=only, alpha=alpha, seed=seed))
    return seed, [each.property for each in findings if each.verdict is Verdict.VIOLATED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started, accused = time.perf_counter(), []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        seeds = range(options.seed, options.seed + options.runs)
        for seed, found in pool.map(violations, [options.alpha] * options.runs, seeds):
            if found:
                accused.append(seed)
                print(f"seed {seed}: {', '.join(found)}", flush=True)  # noqa: T201 (a script)
    low, high = interval(len(accused), options.runs)
    seconds = time.perf_counter() - started
    print(  # noqa: T201 (a script)
        f"{len(accused)} of {options.runs} runs at alpha {options.alpha:g} show a violation (95 % interval of the "
        f"fraction [{low:.3f}, {high:.3f}]); seeds from {options.seed}, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
