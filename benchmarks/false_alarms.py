"""Frequency of false alarms: runs on the reference and on the independent controls, each with a fresh seed.

    python -m benchmarks.false_alarms --runs 200 --alpha 0.05
    python -m benchmarks.false_alarms --runs 20 reference variant-independent

A correct subject may show a violation in at most a fraction `alpha` of the runs. The script prints for each subject how
many did, and an interval for the fraction. A variant is run on the guarantees that its difference touches, the
reference and the independent implementation on all. Seeds are consecutive, from `--seed` or from a random number.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context

from spanver.verdicts import Verdict
from spanver.verification.hunt import interval, request_for
from spanver.verification.request import Request
from spanver.verification.runner import run_properties
from spanver.zoo.catalogue import find
from spanver.zoo.independent.variants import CONTROLS, MEASURED

SUBJECTS = ("reference", *(control.name for control in (*CONTROLS, *MEASURED)))


def violations(run: tuple[str, float, int]) -> list[str]:
    """Properties that are violated in one run: subject, alpha and seed."""
    subject, alpha, seed = run
    request = Request() if subject == "reference" else request_for(find(subject))
    findings = run_properties(replace(request, alpha=alpha, seed=seed))
    return [f"{each.property} ({each.message})" for each in findings if each.verdict is Verdict.VIOLATED]


def share(name: str, accused: int, runs: int) -> str:
    """One line: how many of the runs show a violation."""
    low, high = interval(accused, runs)
    return f"{name}: {accused} of {runs} runs (95 % interval of the fraction [{low:.3f}, {high:.3f}])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", default=SUBJECTS, metavar="SUBJECT", help="the reference, or a control")
    parser.add_argument("--runs", type=int, default=20, help="of each subject")
    parser.add_argument("--alpha", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started, accused = time.perf_counter(), Counter()
    seeds = range(options.seed, options.seed + options.runs)
    runs = [(subject, options.alpha, seed) for seed, subject in product(seeds, options.subjects)]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        for (subject, _, seed), found in zip(runs, pool.map(violations, runs), strict=True):
            accused[subject] += bool(found)
            for each in found:
                print(f"{subject}, seed {seed}: {each}", flush=True)  # noqa: T201 (a script)
    lines = [share(subject, accused[subject], options.runs) for subject in options.subjects]
    lines += [share("all", accused.total(), len(runs))]
    seconds = time.perf_counter() - started
    print("\n".join(lines))  # noqa: T201
    print(f"alpha {options.alpha:g}, seeds from {options.seed}, {seconds:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
