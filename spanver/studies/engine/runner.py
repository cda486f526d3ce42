"""Studies from points to verdicts: what is missing is measured, kept as it ends, judged and drawn.

What was measured stays in one table in the output folder. A study that stopped, was killed, or is asked for again goes
on where it was, and ends with the same numbers as one that was never disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spanver.studies.catalogue import STUDIES
from spanver.studies.engine.figures import draw_study
from spanver.studies.engine.store import open_store, revision
from spanver.studies.engine.study import PROFILES, Claim, Measurement, Point
from spanver.studies.engine.workers import measure_on_dask, measure_on_processes
from spanver.validation import require, require_count, require_one_of
from spanver.verdicts import Verdict, worst


@dataclass(frozen=True)
class Result:
    """Result of a study.

    Attributes
    ----------
    study : str
    claims : tuple of Claim
    points : int
    figures : tuple of Path
    """

    study: str
    claims: tuple[Claim, ...]
    points: int
    figures: tuple[Path, ...]


def selected_studies(name: str) -> tuple[str, ...]:
    """Names of the studies that were asked for: one, or `all`.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    require(name == "all" or name in STUDIES, "study", name, f"one of {', '.join(STUDIES)}, or all")
    return tuple(STUDIES) if name == "all" else (name,)


def run_studies(
    names: Sequence[str],
    *,
    profile: str,
    seed: int,
    out: Path,
    workers: int,
    scheduler: str | None = None,
    on_points: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Result, ...]:
    """Measure all points of some studies that are not in the folder's table yet; then judge and draw each study.

    Parameters
    ----------
    names : sequence of str
        Keys of `STUDIES`.
    profile : {"quick", "full"}
    seed : int
        Decides every number.
    out : Path
        Folder of table and figures; made if there is none.
    workers : int
        Processes; of a Dask cluster only if it is local.
    scheduler : str, optional
        Address of a Dask scheduler, or `local`; joblib's processes without it.
    on_points : callable
        Told how many points are done, out of how many.

    Raises
    ------
    ArgumentError
        If the folder's table is about another seed, code or libraries, or a number is not positive.
    """
    require_one_of("profile", profile, PROFILES)
    require_count("seed", seed, least=0)
    require_count("workers", workers)
    points = {name: STUDIES[name].points(profile) for name in names}
    out.mkdir(parents=True, exist_ok=True)
    about = {"seed": seed, "revision": revision()} | {package: version(package) for package in ("numpy", "scipy")}
    results = []
    with open_store(out / "results.sqlite", about) as store:
        total = sum(map(len, points.values()))
        known = {each.point for name in names for each in store.all(name)}
        missing = _long_ones_first([point for each in points.values() for point in each if point not in known])
        done = total - len(missing)
        on_points(done, total)
        for measured in _measured(missing, seed, scheduler, workers):
            store.add(measured.point, measured.numbers)
            done += 1
            on_points(done, total)
        for name in names:
            wanted = set(points[name])
            results.append(_judged(name, [each for each in store.all(name) if each.point in wanted], out))
    return tuple(results)


def _long_ones_first(points: Sequence[Point]) -> list[Point]:
    """By size as a share of the learner's largest, so that no worker is left alone with a long one at the end."""
    largest: dict[tuple[str, str], float] = {}
    for point in points:
        group = point.study, point.learner
        largest[group] = max(point.size, largest.get(group, 0.0))
    return sorted(points, key=lambda point: -point.size / largest[point.study, point.learner])


def _measured(points: Sequence[Point], seed: int, scheduler: str | None, workers: int) -> Iterator[Measurement]:
    if not points:
        return iter(())
    if scheduler is None:
        return measure_on_processes(points, seed=seed, workers=workers)
    return measure_on_dask(points, seed=seed, scheduler=scheduler, workers=workers)


def _judged(name: str, measured: Sequence[Measurement], out: Path) -> Result:
    study = STUDIES[name]
    return Result(name, study.judge(measured), len(measured), tuple(draw_study(study, measured, out)))


def verdict_of(results: Sequence[Result]) -> Verdict:
    """The worst verdict of all claims that are judged."""
    return worst(claim.verdict for result in results for claim in result.claims if claim.verdict)


def as_json(results: Sequence[Result], *, profile: str, seed: int) -> dict[str, Any]:
    """Return verdicts as plain data, without paths and times, so that equal runs compare byte by byte."""
    claims = [
        {
            "study": result.study,
            "guarantee": claim.guarantee,
            "claim": claim.claim,
            "slope": claim.slope and claim.slope.estimate,
            "interval": claim.slope and [claim.slope.low, claim.slope.high],
            "band": claim.band and [None if abs(edge) == float("inf") else edge for edge in claim.band],
            "verdict": claim.verdict and claim.verdict.value,
            "points": claim.points,
            "note": claim.note,
        }
        for result in results
        for claim in result.claims
    ]
    footer = {"profile": profile, "seed": seed, "points": sum(result.points for result in results)} | {
        verdict.value: sum(claim["verdict"] == verdict.value for claim in claims) for verdict in Verdict
    }
    return {"schema": "spanver.study/1", "claims": claims, "footer": footer}
