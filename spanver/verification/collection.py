"""What checks each guarantee: found by collecting the properties, so that no table is typed by hand.

A property names its guarantees, and the functions of a subject that it needs, in a marker,
`@pytest.mark.guarantee("S4", needs=["build_spanner"])`; the decorator `experiments` makes it statistical. So a run
knows how many checks are to be expected without asking those that were executed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import FunctionType, ModuleType

from spanver.runs.certify import CERTIFIED
from spanver.studies.catalogue import STUDIES

__all__ = ["Property", "checked_by", "find_properties", "is_statistical"]


PACKAGE = "spanver.properties"


@dataclass(frozen=True)
class Property:
    """One property: its name, guarantees, the functions it needs, and whether it is statistical."""

    name: str
    guarantees: tuple[str, ...]
    needs: frozenset[str]
    statistical: bool


@cache
def find_properties() -> tuple[Property, ...]:
    """All properties, in the order of their files."""
    found = iter_modules(import_module(PACKAGE).__path__, f"{PACKAGE}.")
    names = sorted(module.name for module in found if module.name.rpartition(".")[2].startswith("test_"))
    here = set(sys.modules)
    modules = [import_module(name) for name in names]
    for name in set(names) - here:
        # pytest imports them again: only what it imports itself does it rewrite to explain failing assertions.
        del sys.modules[name]
    return tuple(found for module in modules for found in _properties_of(module))


def checked_by() -> dict[str, tuple[str, ...]]:
    """Names of the properties, of `spanver certify` and of studies, by the id of the guarantee that they check."""
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
        Property(name, mark.args, frozenset(mark.kwargs.get("needs", ())), is_statistical(function))
        for name, function in vars(module).items()
        if isinstance(function, FunctionType)
        for mark in getattr(function, "pytestmark", ())
        if mark.name == "guarantee"
    ]


def is_statistical(function: object) -> bool:
    """Whether a property is statistical: the decorator `experiments` says so."""
    return bool(getattr(function, "statistical", False))
