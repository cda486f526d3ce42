"""Frequency of false alarms: runs on right subjects, each with a fresh seed.

    python -m benchmarks.false_alarms --runs 200 --alpha 0.05
    python -m benchmarks.false_alarms --runs 20 reference spanver.zoo.independent.subject:INDEPENDENT

A correct subject may show a violation in at most a fraction `alpha` of the runs. The runs are dealt to the subjects in
turn, each with the next seed, from `--seed` or from a random number. A variant is run on the guarantees that its
difference touches, all others on all. Like `spanver verify` the script runs the reference and the variants in its own
processes, and `module:attribute` isolated. A line of JSON for each run is added to `--out` when it ends. For each
subject the script prints how many runs showed a violation, with an interval for the fraction, and what was undecided.
"""

from __future__ import annotations

import argparse
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from rich.progress import track

from spanver.errors import SpanverError
from spanver.verdicts import Verdict
from spanver.verification.hunt import interval, request_for
from spanver.verification.request import Request
from spanver.verification.runner import run_properties
from spanver.zoo.catalogue import find
from spanver.zoo.independent.variants import CONTROLS, MEASURED

ISOLATED = "spanver.zoo.independent.subject:INDEPENDENT"
SUBJECTS = ("reference", ISOLATED, *(control.name for control in (*CONTROLS, *MEASURED)))


def measured(subject: str, alpha: float, seed: int) -> dict[str, Any]:
    """One run: what was violated, what was undecided, and why. A run that could not be carried out is undecided."""
    whole = subject == "reference" or ":" in subject
    request = replace(Request(subject) if whole else request_for(find(subject)), alpha=alpha, seed=seed)
    started, found = perf_counter(), {Verdict.VIOLATED: [], Verdict.UNDECIDED: []}
    try:
        for each in run_properties(request):
            if each.verdict in found and not each.not_judged:
                found[each.verdict].append(f"{each.property}: {each.message}")
    except SpanverError as error:
        found[Verdict.UNDECIDED].append(str(error))
    row = {"subject": subject, "alpha": alpha, "seed": seed, "seconds": perf_counter() - started}
    return row | {verdict.value: reasons for verdict, reasons in found.items()}


def ended(runs: Sequence[tuple[str, float, int]], workers: int) -> Iterator[dict[str, Any]]:
    """Results of the runs as they end, until Ctrl-C."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(measured, *run) for run in runs]
        try:
            for future in track(as_completed(futures), "runs", total=len(runs)):
                yield future.result()
        except KeyboardInterrupt:
            print("interrupted")  # noqa: T201 (a script)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def summary(name: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """How many of the runs show a violation or something undecided, and how often each reason of the latter came."""
    accused, undecided = (sum(bool(row[kind]) for row in rows) for kind in ("violated", "undecided"))
    low, high = interval(accused, len(rows))
    seconds = fmean(row["seconds"] for row in rows)
    yield (
        f"{name}: {accused} of {len(rows)} runs violated (95 % interval of the fraction [{low:.3f}, {high:.3f}]), "
        f"{undecided} with something undecided, {seconds:.0f} s a run"
    )
    reasons = Counter(reason for row in rows for reason in row["undecided"])
    yield from (f"    undecided {count} times: {reason}" for reason, count in reasons.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", default=SUBJECTS, metavar="SUBJECT", help="default: all right ones")
    parser.add_argument("--runs", type=int, default=len(SUBJECTS), help="of all subjects together")
    parser.add_argument("--alpha", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of the first run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("false_alarms.jsonl"))
    options = parser.parse_args()
    dealt = enumerate(islice(cycle(options.subjects), options.runs), options.seed)
    runs, rows = [(subject, options.alpha, seed) for seed, subject in dealt], []
    with options.out.open("a", encoding="utf-8", buffering=1) as sink:
        for row in ended(runs, options.workers):
            rows.append(row)
            sink.write(json.dumps(row) + "\n")
            head = f"{len(rows)} of {len(runs)}: {row['subject']}, seed {row['seed']}, {row['seconds']:.0f} s"
            reasons = [f"{kind}: {reason}" for kind in ("violated", "undecided") for reason in row[kind]]
            print("\n    ".join([head, *reasons]), flush=True)  # noqa: T201
    for name in dict.fromkeys(row["subject"] for row in rows):
        print("\n".join(summary(name, [row for row in rows if row["subject"] == name])))  # noqa: T201
    if rows:
        print("\n".join(summary("all", rows)))  # noqa: T201


if __name__ == "__main__":
    main()
