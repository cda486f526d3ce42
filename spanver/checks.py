"""What checks each guarantee: found by reading the property files, so that no table is typed by hand.

A property names its guarantees in a marker, `@pytest.mark.guarantee("S4")`. The files are parsed, not imported, so
neither pytest nor Hypothesis is needed to ask.
"""

from __future__ import annotations

import ast
from importlib.resources import files

from spanver.certify import CERTIFIED

__all__ = ["checked_by"]


def checked_by() -> dict[str, tuple[str, ...]]:
    """Names of the properties, and of `spanver certify`, by the id of the guarantee that they check."""
    names: dict[str, list[str]] = {}
    for file in sorted(files("spanver.properties").iterdir(), key=lambda entry: entry.name):
        if file.name.startswith("test_") and file.name.endswith(".py"):
            for function in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(function, ast.FunctionDef):
                    for guarantee in _marked(function):
                        names.setdefault(guarantee, []).append(function.name)
    for guarantee in CERTIFIED:
        names.setdefault(guarantee, []).append("spanver certify")
    return {guarantee: tuple(found) for guarantee, found in names.items()}


def _marked(function: ast.FunctionDef) -> list[str]:
    return [
        argument.value
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.guarantee"
        for argument in decorator.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]
