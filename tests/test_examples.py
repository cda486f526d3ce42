"""The examples in docstrings print what they say they print."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import spanver

ADAPTERS = "spanver.subjects.libraries.catalogue"  # needs libraries of its own
MODULES = [found.name for found in pkgutil.walk_packages(spanver.__path__, "spanver.") if found.name != ADAPTERS]


def with_examples() -> list[str]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [name for name in MODULES if any(each.examples for each in finder.find(importlib.import_module(name)))]


def test_there_are_examples() -> None:
    assert len(with_examples()) >= 10


@pytest.mark.parametrize("name", with_examples())
def test_examples_print_what_they_say(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
