"""Selection of the properties of a run, and the share of its false-alarm budget that each gets."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import takewhile

from spanver.evidence import split_alpha
from spanver.guarantees import REGISTRY, guarantee
from spanver.subjects.contract import Subject
from spanver.validation import require, require_one_of, require_probability
from spanver.verification.check import Check
from spanver.verification.collection import Property, find_properties
from spanver.verification.profiles import PROFILES


def is_selected(guarantees: Iterable[str], only: str) -> bool:
    """Whether one of the guarantees is selected.

    Parameters
    ----------
    guarantees : iterable of str
    only : str
        Ids, or letters for whole groups, separated by commas: `S,R3`. Empty selects all.

    Raises
    ------
    ArgumentError
        If a part of `only` is neither the id of a guarantee nor the letter of a group.
    """
    wanted = {part.strip().upper() for part in only.split(",") if part.strip()}
    groups = set(map(_group_of, REGISTRY))
    unknown = sorted(wanted - {name.upper() for name in REGISTRY} - groups)
    require(not unknown, "only", ", ".join(unknown), f"ids of guarantees, or of {', '.join(sorted(groups))}")
    return not wanted or any(name.upper() in wanted or _group_of(name) in wanted for name in guarantees)


def _group_of(name: str) -> str:
    """Letters that the ids of a group begin with."""
    return "".join(takewhile(str.isalpha, name))


def expected_properties(subject: Subject, only: str = "") -> tuple[Property, ...]:
    """Return the properties that have to run on a subject: all selected ones that it provides for and claims."""
    return tuple(
        each
        for each in find_properties()
        if each.needs <= subject.provides
        and claims_of(each.guarantees) <= subject.claims
        and is_selected(each.guarantees, only)
    )


def claims_of(guarantees: Iterable[str]) -> set[str]:
    """Return the algorithms that a subject has to claim for these guarantees to be judged."""
    return {guarantee(name).claim for name in guarantees} - {""}


@cache
def statistical_properties() -> int:
    """Return the number of statistical properties; the budget is split over all of them, even when fewer run."""
    return sum(each.statistical for each in find_properties())


def make_check(
    subject: Subject,
    name: str,
    guarantees: tuple[str, ...],
    *,
    profile: str,
    alpha: float,
    seed: int,
    traced: bool = False,
) -> Check:
    """Make the check of one property.

    Parameters
    ----------
    subject : Subject
    name : str
        Of the property.
    guarantees : tuple of str
        The first decides what a statistical test must detect, and on how many instances.
    profile : str
    alpha : float
        False-alarm budget of the whole run.
    seed : int
    traced : bool
        Whether a violation keeps the transcript of its call.
    """
    require_one_of("profile", profile, PROFILES)
    require_probability("alpha", alpha)
    chosen = PROFILES[profile]
    demand = chosen.demands[guarantee(guarantees[0]).cost]
    return Check(
        subject=subject,
        name=name,
        guarantees=guarantees,
        profile=chosen,
        run_seed=seed,
        alpha=split_alpha(alpha, statistical_properties(), demand.instances),
        discrepancy=demand.discrepancy,
        tested=demand.instances,
        traced=traced,
    )
