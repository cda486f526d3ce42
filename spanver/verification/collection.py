"""The list of all properties, and of what checks each guarantee, so that no table is typed by hand.

A property names its guarantees, and the functions of a subject that it needs, in a marker,
`@pytest.mark.guarantee("S4", needs=["build_spanner"])`; the decorator `experiments` makes it statistical. The modules
of properties are imported once, in about 0.1 s where `spanver.verification` is already imported. So a run knows how
many properties have to run, independently of those that do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import FunctionType, ModuleType

from spanver.runs.certify import CERTIFIED
from spanver.studies.catalogue import STUDIES
from spanver.verification.check import Check
from spanver.verification.design import Design, design_of
from spanver.verification.search import is_statistical

PACKAGE = "spanver.properties"


@dataclass(frozen=True)
class Property:
    """One property: its name, guarantees, needed functions, test, whether it is statistical, what it is to catch."""

    name: str
    guarantees: tuple[str, ...]
    needs: frozenset[str]
    test: Callable[[Check], None]
    statistical: bool
    design: Design = field(default_factory=Design)


@cache
def find_properties() -> tuple[Property, ...]:
    """Return all properties, in the order of their files."""
    found = iter_modules(import_module(PACKAGE).__path__, f"{PACKAGE}.")
    names = sorted(module.name for module in found if module.name.rpartition(".")[2].startswith("test_"))
    here = set(sys.modules)
    modules = [import_module(name) for name in names]
    for name in set(names) - here:
        # pytest has to import them itself: only then does it rewrite their assertions to explain failures.
        del sys.modules[name]
    return tuple(found for module in modules for found in _properties_of(module))


def checked_by() -> dict[str, tuple[str, ...]]:
    """Return what checks each guarantee, by id: names of properties, `spanver certify`, and studies."""
    names: dict[str, list[str]] = {}
    for found in find_properties():
        for guarantee in found.guarantees:
            names.setdefault(guarantee, []).append(found.name)
    for guarantee in CERTIFIED:
        names.setdefault(guarantee, []).append("spanver certify")
    for study in STUDIES.values():
        for guarantee in study.guarantees:
            names.setdefault(guarantee, []).append(f"spanver study {study.name}")
    return {guarantee: tuple(found) for guarantee, found in names.items()}


def _properties_of(module: ModuleType) -> list[Property]:
    return [
        Property(
            name=name,
            guarantees=mark.args,
            needs=frozenset(mark.kwargs.get("needs", ())),
            test=function,
            statistical=is_statistical(function),
            design=design_of(function),
        )
        for name, function in vars(module).items()
        if isinstance(function, FunctionType)
        for mark in getattr(function, "pytestmark", ())
        if mark.name == "guarantee"
    ]
