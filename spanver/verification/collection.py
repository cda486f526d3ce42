"""What checks each guarantee: found by reading the property files, so that no table is typed by hand.

A property names its guarantees, and the functions of a subject that it needs, in a marker,
`@pytest.mark.guarantee("S4", needs=["build_spanner"])`. The files are parsed, not imported: so a run knows how many
checks are to be expected without asking those that were executed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.resources import files

from spanver.runs.certify import CERTIFIED

__all__ = ["Property", "checked_by", "find_properties"]


@dataclass(frozen=True)
class Property:
    """One property: its name, guarantees, the functions it needs, and whether it is statistical."""

    name: str
    guarantees: tuple[str, ...]
    needs: frozenset[str]
    statistical: bool


def find_properties() -> tuple[Property, ...]:
    """All properties, in the order of their files."""
    return tuple(
        found
        for file in sorted(files("spanver.properties").iterdir(), key=lambda entry: entry.name)
        if file.name.startswith("test_") and file.name.endswith(".py")
        for function in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(function, ast.FunctionDef)
        for found in _marked(function)
    )


def checked_by() -> dict[str, tuple[str, ...]]:
    """Names of the properties, of `spanver certify` and of studies, by the id of the guarantee that they check."""
    from spanver.studies.catalogue import STUDIES  # noqa: PLC0415 (properties are found without it)

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


def _marked(function: ast.FunctionDef) -> list[Property]:
    calls = [decorator for decorator in function.decorator_list if isinstance(decorator, ast.Call)]
    statistical = any(ast.unparse(call.func) == "experiments" for call in calls)
    return [
        Property(
            name=function.name,
            guarantees=tuple(ast.literal_eval(argument) for argument in call.args),
            needs=frozenset(
                each for keyword in call.keywords if keyword.arg == "needs" for each in ast.literal_eval(keyword.value)
            ),
            statistical=statistical,
        )
        for call in calls
        if ast.unparse(call.func) == "pytest.mark.guarantee"
    ]
