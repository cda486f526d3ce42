"""`spanver zoo`: every mutant against the guarantees that it should break, so that every check has been seen to fail.

A mutant is run against the properties of those guarantees up to the first kill, repeatably. A correct control must
survive all guarantees of the functions in which it differs. With `matrix` every mutant is run against every guarantee,
several times with fresh seeds, and the frequency of kills is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

from scipy.stats import beta

from spanver.guarantees import REGISTRY, Kind
from spanver.validation import require_count, require_one_of
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.finding import Finding
from spanver.verification.profiles import PROFILES
from spanver.verification.request import Request
from spanver.verification.runner import findings_here
from spanver.zoo.catalogue import CONTROLS, MUTANTS, find
from spanver.zoo.mutant import Mutant


@dataclass(frozen=True)
class MutantResult:
    """Result for one mutant, or for one correct control.

    Attributes
    ----------
    mutant : Mutant
    kills : tuple of tuples of Finding
        For each repeat, the findings of the properties that failed.
    seconds : float
        Of all repeats.
    """

    mutant: Mutant
    kills: tuple[tuple[Finding, ...], ...]
    seconds: float

    @property
    def repeats(self) -> int:
        """Number of repeats."""
        return len(self.kills)

    @property
    def killed(self) -> int:
        """Repeats in which one of the expected guarantees killed it."""
        expected = set(self.mutant.breaks)
        return sum(any(expected & set(each.guarantees) for each in failed) for failed in self.kills)

    @property
    def first_kill(self) -> Finding | None:
        """The first finding that killed it."""
        return next((each for failed in self.kills for each in failed), None)

    @property
    def killed_by(self) -> tuple[str, ...]:
        """Expected guarantees that killed it, in the order of the registry."""
        return tuple(name for name in self.all_killers if name in self.mutant.breaks)

    @property
    def all_killers(self) -> dict[str, int]:
        """Number of repeats in which each guarantee killed it."""
        killers = [{name for each in failed for name in each.guarantees} for failed in self.kills]
        counts = {name: sum(name in each for each in killers) for name in REGISTRY}
        return {name: count for name, count in counts.items() if count}

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        low, high = interval(self.killed, self.repeats)
        first = self.first_kill
        return {
            "name": self.mutant.name,
            "bug": self.mutant.bug,
            "expected": list(self.mutant.breaks),
            "killed_by": list(self.killed_by),
            "kill_probability": {"estimate": self.killed / self.repeats, "low": low, "high": high},
            "all_killers": self.all_killers,
            "property": first and first.property,
            "message": first and first.message,
            "counterexample": first and first.counterexample,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class ZooReport:
    """Result of a run of the zoo.

    Attributes
    ----------
    mutants, controls : tuple of MutantResult
    seconds : float
    whole : bool
        Whether all mutants and controls were run.
    """

    mutants: tuple[MutantResult, ...]
    controls: tuple[MutantResult, ...]
    seconds: float
    whole: bool = True

    @property
    def survivors(self) -> list[str]:
        """Mutants that none of their expected guarantees killed in every repeat."""
        return [each.mutant.name for each in self.mutants if each.killed < each.repeats]

    @property
    def false_kills(self) -> list[str]:
        """Correct controls that were killed."""
        return [each.mutant.name for each in self.controls if each.first_kill is not None]

    def without_kills(self, *, exact: bool) -> list[str]:
        """Guarantees with properties that killed nothing: the exact ones, or the others."""
        checked = {name for each in find_properties() for name in each.guarantees}
        active = {name for each in self.mutants for name in each.killed_by}
        return [
            name
            for name, entry in REGISTRY.items()
            if name in checked - active and exact == (Kind.STATISTICAL not in entry.kind)
        ]

    @property
    def verdict(self) -> Verdict:
        """Violated if a mutant survived, a control died, or in the whole zoo an exact guarantee killed nothing."""
        bad = self.survivors or self.false_kills or (self.whole and self.without_kills(exact=True))
        return Verdict.VIOLATED if bad else Verdict.HOLDS

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "schema": "spanver.zoo/2",
            "mutants": [each.to_json() for each in self.mutants],
            "controls": [each.to_json() for each in self.controls],
            "footer": {
                "mutants": len(self.mutants),
                "killed": len(self.mutants) - len(self.survivors),
                "survivors": self.survivors,
                "controls": len(self.controls),
                "false_kills": self.false_kills,
                "without_kills_exact": self.without_kills(exact=True),
                "without_kills_statistical": self.without_kills(exact=False),
                "seconds": self.seconds,
                "verdict": self.verdict.value,
            },
        }


def interval(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval for a probability."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def run_zoo(
    *,
    profile: str = "ci",
    names: Iterable[str] = (),
    matrix: bool = False,
    repeats: int = 1,
    seed: int = 0,
    workers: int = 2,
    on_result: Callable[[str], None] | None = None,
) -> ZooReport:
    """Run every mutant, which must be killed, and every correct control, which must survive.

    Parameters
    ----------
    profile : str
        Of the mutants. Controls are always run to the end, and without `matrix` under `quick`.
    names : iterable of str
        Only these mutants and controls; all if empty.
    matrix : bool
        Run each mutant against all guarantees, and do not stop at the first kill.
    repeats : int
        Number of runs of each mutant, with consecutive seeds.
    seed, workers : int
    on_result : callable, optional
        Called with the name of each mutant when its result is available.

    Raises
    ------
    ArgumentError
        If a number is not positive, or there is no such profile.
    """
    require_one_of("profile", profile, PROFILES)
    require_count("repeats", repeats)
    require_count("workers", workers)
    started = time.perf_counter()
    wanted = set(names)
    mutants = [each for each in MUTANTS if not wanted or each in wanted]
    controls = [each for each in CONTROLS if not wanted or each in wanted]
    run = partial(_result, matrix=matrix, seeds=range(seed, seed + repeats))
    results: dict[str, MutantResult] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        # Controls first: they run to the end and take longest.
        futures = {name: pool.submit(run, name, profile if matrix else "quick", is_control=True) for name in controls}
        futures |= {name: pool.submit(run, name, profile, is_control=False) for name in mutants}
        for name, future in futures.items():
            results[name] = MutantResult(find(name), *future.result())
            if on_result is not None:
                on_result(name)
    return ZooReport(
        mutants=tuple(results[name] for name in mutants),
        controls=tuple(results[name] for name in controls),
        seconds=time.perf_counter() - started,
        whole=not wanted,
    )


def _result(
    name: str, profile: str, *, is_control: bool, matrix: bool, seeds: range
) -> tuple[tuple[tuple[Finding, ...], ...], float]:
    """Kills of each repeat, and seconds: the part of a result that crosses processes."""
    started = time.perf_counter()
    failing = _control_failures if is_control else _mutant_kills
    kills = tuple(failing(find(name), profile, matrix, seed) for seed in seeds)
    return kills, time.perf_counter() - started


def _mutant_kills(mutant: Mutant, profile: str, matrix: bool, seed: int) -> tuple[Finding, ...]:
    # A mutant killed under a gentler profile need not be run under a harder one, which detects more.
    for hardness in dict.fromkeys([profile] if matrix else ["quick", profile]):
        findings = findings_here(request_for(mutant, profile=hardness, matrix=matrix, seed=seed))
        violated = (each for each in findings if each.verdict is Verdict.VIOLATED and not is_stale(each))
        kills = tuple(violated) if matrix else tuple(islice(violated, 1))
        if kills:
            return kills
    return ()


STALE = ("AttributeError", "ImportError", "NameError", "TypeError")


def is_stale(finding: Finding) -> bool:
    """Whether a mutant failed because it no longer fits the package, which is no kill."""
    return finding.fault is not None and finding.fault.type in STALE


def _control_failures(control: Mutant, profile: str, matrix: bool, seed: int) -> tuple[Finding, ...]:
    """Findings that do not hold; that nothing ran is one too."""
    findings = list(findings_here(request_for(control, profile=profile, matrix=matrix, seed=seed)))
    if not findings:
        return (Finding("none", control.breaks, message="nothing ran"),)
    return tuple(each for each in findings if each.verdict is not Verdict.HOLDS and not each.not_judged)


def request_for(mutant: Mutant, *, profile: str = "quick", matrix: bool = False, seed: int = 0) -> Request:
    """What to verify of a mutant or control: the guarantees of the functions in which it differs, or all.

    Parameters
    ----------
    mutant : Mutant
    profile : str
    matrix : bool
        Whether all guarantees are judged.
    seed : int
    """
    return Request(
        subject=f"zoo:{mutant.name}",
        profile=profile,
        only="" if matrix else ",".join(mutant.breaks),
        seed=seed,
        functions=",".join(mutant.functions),  # all others are right
    )
