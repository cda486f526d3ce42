"""Designed instances show the named mistakes: effects are large enough, and exact properties fail for certain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spanver.errors import ViolationError
from spanver.verification.collection import Property, find_properties
from spanver.verification.design import ENOUGH
from spanver.verification.profiles import PROFILES
from spanver.verification.selection import make_check
from spanver.zoo.catalogue import mutant

DESIGNED = [(each, name) for each in find_properties() for name in each.design.mistakes]


@pytest.mark.parametrize(("each", "mistake"), DESIGNED, ids=[f"{each.name}-{name}" for each, name in DESIGNED])
def test_a_named_mistake_shows_on_designed_instances(each: Property, mistake: str) -> None:
    designed, effect = each.design.instances, each.design.mistakes[mistake]
    check = make_check(mutant(mistake), each.name, each.guarantees, profile="quick", alpha=1e-6, seed=1)
    assert each.statistical == (effect is not None), "effects are for statistical properties"
    if effect is None:
        # Nothing but designed instances is run, or little else.
        check.profile = replace(PROFILES["quick"], examples=len(designed), shrinks=0)
        with pytest.raises(ViolationError):
            each.test(check)
        assert check.finding.examples <= len(designed), "found by the search, not by a designed instance"
    else:
        large = [effect(**instance) >= ENOUGH * check.discrepancy for instance in designed]
        assert sum(large) >= len(designed) / 2
