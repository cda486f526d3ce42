"""Designed instances show the named mistakes: effects are large enough, and exact properties fail for certain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spanver.errors import ViolationError
from spanver.verification.check import Check
from spanver.verification.collection import Property, find_properties
from spanver.verification.design import ENOUGH
from spanver.verification.profiles import PROFILES
from spanver.verification.selection import make_check
from spanver.zoo.catalogue import mutant

DESIGNED = [(each, name) for each in find_properties() for name in each.design.mistakes]
SEEDS = (1, 2, 3)  # on which nothing may depend


def check_of(each: Property, mistake: str, seed: int) -> Check:
    return make_check(mutant(mistake), each.name, each.guarantees, profile="quick", alpha=1e-6, seed=seed)


@pytest.mark.parametrize(("each", "mistake"), DESIGNED, ids=[f"{each.name}-{name}" for each, name in DESIGNED])
def test_a_named_mistake_shows_on_designed_instances(each: Property, mistake: str) -> None:
    designed, effect = each.design.instances, each.design.mistakes[mistake]
    assert each.statistical == (effect is not None), "effects are for statistical properties"
    if effect is not None:
        least = ENOUGH * check_of(each, mistake, 0).discrepancy
        assert sum(effect(**instance) >= least for instance in designed) >= len(designed) / 2
        return
    for seed in SEEDS:
        check = check_of(each, mistake, seed)
        # Nothing but designed instances is run, or little else.
        check.profile = replace(PROFILES["quick"], examples=len(designed), shrinks=0)
        with pytest.raises(ViolationError):
            each.test(check)
        assert check.finding.examples <= len(designed), "found by the search, not by a designed instance"
