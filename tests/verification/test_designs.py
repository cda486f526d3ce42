"""Designed instances show the named mistakes: effects are large enough, and exact properties fail for certain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from types import FunctionType

import pytest

from spanver.errors import ViolationError
from spanver.verification.check import Check
from spanver.verification.collection import PACKAGE, Property, find_properties
from spanver.verification.design import ENOUGH, Effect, design_of
from spanver.verification.profiles import PROFILES
from spanver.verification.search import is_statistical
from spanver.verification.selection import make_check
from spanver.zoo.catalogue import mutant

FUNCTIONS: dict[str, Callable[[Check], None]] = {
    name: function
    for module in iter_modules(import_module(PACKAGE).__path__, f"{PACKAGE}.")
    for name, function in vars(import_module(module.name)).items()
    if isinstance(function, FunctionType) and name.startswith("test_")
}
DESIGNED = [(each, name) for each in find_properties() for name in each.design.mistakes]


@pytest.mark.parametrize(("each", "mistake"), DESIGNED, ids=[f"{each.name}-{name}" for each, name in DESIGNED])
def test_a_named_mistake_shows_on_designed_instances(each: Property, mistake: str) -> None:
    function = FUNCTIONS[each.name]
    check = make_check(mutant(mistake), each.name, each.guarantees, profile="quick", alpha=1e-6, seed=1)
    effect = each.design.mistakes[mistake]
    assert is_statistical(function) == (effect is not None), "effects are for statistical properties"
    if effect is None:
        # Nothing but designed instances is run, or little else.
        check.profile = replace(PROFILES["quick"], examples=len(each.design.instances), shrinks=0)
        with pytest.raises(ViolationError):
            function(check)
        assert check.finding.examples <= len(each.design.instances), "found by the search, not by a designed instance"
    else:
        assert share_of_instances(each.name, effect, ENOUGH * check.discrepancy) >= 0.5


def share_of_instances(name: str, effect: Effect, least: float) -> float:
    """Fraction of designed instances on which a mistake has at least this effect."""
    designed = design_of(FUNCTIONS[name]).instances
    return sum(effect(**instance) >= least for instance in designed) / len(designed)
