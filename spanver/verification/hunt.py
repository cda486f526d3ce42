"""Every check has been seen to fail: the mutants of the zoo, each against the guarantees that it should break.

A hunt runs the properties of those guarantees, stops at the first kill, and is repeatable. A correct variant must
survive all of the guarantees that its difference touches. The matrix runs every mutant against every guarantee,
several times with fresh luck, and measures how often each kills.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from scipy.stats import beta

from spanver.guarantees import REGISTRY, Kind
from spanver.validation import require, require_count
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.profiles import PROFILES
from spanver.verification.runner import Request, run_properties
from spanver.zoo.catalogue import MUTANTS, VARIANTS, Mutant, find

__all__ = ["MutantResult", "Zoo", "interval", "run_zoo"]


@dataclass(frozen=True)
class MutantResult:
    """What became of one mutant, or of one correct variant.

    Attributes
    ----------
    mutant : Mutant
    kills : tuple of mapping
        Findings of the properties that failed, of all repeats.
    killed : int
        Repeats in which one of the expected guarantees killed it.
    repeats : int
    seconds : float
        Of the whole hunt.
    """

    mutant: Mutant
    kills: tuple[Mapping[str, Any], ...]
    killed: int
    repeats: int
    seconds: float

    @property
    def killed_by(self) -> tuple[str, ...]:
        """Expected guarantees that killed it, in the order of the registry."""
        found = {name for kill in self.kills for name in kill["guarantees"]}
        return tuple(name for name in REGISTRY if name in found & set(self.mutant.breaks))

    @property
    def all_killers(self) -> dict[str, int]:
        """How many repeats each guarantee killed it in."""
        return {
            name: sum(
                any(name in kill["guarantees"] for kill in self.kills if kill["repeat"] == r)
                for r in range(self.repeats)
            )
            for name in REGISTRY
            if any(name in kill["guarantees"] for kill in self.kills)
        }


@dataclass(frozen=True)
class Zoo:
    """What became of the whole zoo.

    Attributes
    ----------
    hunts, variants : tuple of MutantResult
    seconds : float
    """

    hunts: tuple[MutantResult, ...]
    variants: tuple[MutantResult, ...]
    seconds: float

    @property
    def survivors(self) -> list[str]:
        """Mutants that none of their expected guarantees killed in every repeat."""
        return [hunt.mutant.name for hunt in self.hunts if hunt.killed < hunt.repeats]

    @property
    def false_kills(self) -> list[str]:
        """Correct variants that were killed."""
        return [hunt.mutant.name for hunt in self.variants if hunt.kills]

    def without_kills(self, *, exact: bool) -> list[str]:
        """Guarantees with properties that killed nothing: those that are exact, or the others."""
        checked = {name for each in find_properties() for name in each.guarantees}
        active = {name for hunt in self.hunts for name in hunt.killed_by}
        return [
            name
            for name, entry in REGISTRY.items()
            if name in checked - active and exact == (Kind.STATISTICAL not in entry.kind)
        ]

    @property
    def verdict(self) -> Verdict:
        """Violated if a mutant survived, a correct variant died, or an exact guarantee killed nothing."""
        bad = self.survivors or self.false_kills or self.without_kills(exact=True)
        return Verdict.VIOLATED if bad else Verdict.HOLDS

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        return {
            "schema": "spanver.zoo/1",
            "mutants": [_as_data(hunt) for hunt in self.hunts],
            "variants": [_as_data(hunt) for hunt in self.variants],
            "footer": {
                "mutants": len(self.hunts),
                "killed": len(self.hunts) - len(self.survivors),
                "survivors": self.survivors,
                "variants": len(self.variants),
                "variants_killed": self.false_kills,
                "idle_exact": self.without_kills(exact=True),
                "idle_statistical": self.without_kills(exact=False),
                "seconds": self.seconds,
                "verdict": self.verdict.value,
            },
        }


def _as_data(hunt: MutantResult) -> dict[str, Any]:
    low, high = interval(hunt.killed, hunt.repeats)
    first = hunt.kills[0] if hunt.kills else None
    return {
        "name": hunt.mutant.name,
        "bug": hunt.mutant.bug,
        "expected": list(hunt.mutant.breaks),
        "killed_by": list(hunt.killed_by),
        "kill_probability": {"estimate": hunt.killed / hunt.repeats, "low": low, "high": high},
        "all_killers": hunt.all_killers,
        "property": first and first["property"],
        "message": first and first["message"],
        "counterexample": first and first["counterexample"],
        "seconds": hunt.seconds,
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
    on_hunt: Callable[[str], None] | None = None,
) -> Zoo:
    """MutantResult every mutant, and see that every correct variant survives.

    Parameters
    ----------
    profile : str
        Of the hunts. Variants are run in full, and without `matrix` under `quick`.
    names : iterable of str
        Only these mutants and variants; all if empty.
    matrix : bool
        Run each mutant against all guarantees, and do not stop at the first kill.
    repeats : int
        With seeds that follow on each other.
    seed, workers : int
    on_hunt : callable, optional
        Called with the name of each mutant, as soon as its hunt ends.

    Returns
    -------
    Zoo

    Raises
    ------
    ArgumentError
        If a number is not positive, or there is no such profile.
    """
    require(profile in PROFILES, "profile", profile, f"one of {', '.join(PROFILES)}")
    require_count("repeats", repeats)
    require_count("workers", workers)
    started = time.perf_counter()
    wanted = set(names)
    mutants = [each for each in MUTANTS.values() if not wanted or each.name in wanted]
    variants = [each for each in VARIANTS.values() if not wanted or each.name in wanted]
    # The long ones first: variants run to the end.
    jobs = [(each.name, profile if matrix else "quick", True, False, repeats, seed) for each in variants]
    jobs += [(each.name, profile, False, matrix, repeats, seed) for each in mutants]
    hunts: dict[str, MutantResult] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for name, future in [(job[0], pool.submit(_hunt, *job)) for job in jobs]:
            hunts[name] = MutantResult(find(name), *future.result())
            if on_hunt is not None:
                on_hunt(name)
    return Zoo(
        hunts=tuple(hunts[each.name] for each in mutants),
        variants=tuple(hunts[each.name] for each in variants),
        seconds=time.perf_counter() - started,
    )


def _hunt(
    name: str, profile: str, is_variant: bool, matrix: bool, repeats: int, seed: int
) -> tuple[tuple[Mapping[str, Any], ...], int, int, float]:
    """Kills, repeats with a kill by an expected guarantee, repeats, and seconds: what travels between processes."""
    mutant = find(name)
    started = time.perf_counter()
    kills: list[Mapping[str, Any]] = []
    killed = 0
    whole = matrix or is_variant
    for repeat in range(repeats):
        failed: list[Mapping[str, Any]] = []
        # What dies under a gentler profile need not be hunted under a harder one, which sees more.
        for hardness in dict.fromkeys([profile] if whole else ["quick", profile]):
            request = Request(
                subject=f"zoo:{name}",
                profile=hardness,
                only="" if matrix else ",".join(mutant.breaks),
                seed=seed + repeat,
                functions=",".join(mutant.functions),  # all else is as in the reference
            )
            findings = run_properties(request, stop_at_first=not whole)
            # Of a correct variant all has to hold, and something has to have run.
            fatal = {Verdict.VIOLATED.value} | ({Verdict.UNDECIDED.value} if is_variant else set())
            failed = [each for each in findings if each["verdict"] in fatal]
            if is_variant and not findings:
                failed = [
                    {"property": "none", "guarantees": mutant.breaks, "message": "nothing ran", "counterexample": None}
                ]
            if failed:
                break
        kills += [{**each, "repeat": repeat} for each in failed]
        killed += any(set(each["guarantees"]) & set(mutant.breaks) for each in failed)
    return tuple(kills), killed, repeats, time.perf_counter() - started
