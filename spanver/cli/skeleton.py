"""`spanver init`: the skeleton of a subject, written from the contract."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from spanver.errors import ArgumentError
from spanver.learners.mtss import MTSSSettings
from spanver.learners.spanner_sampling import Settings
from spanver.subjects.contract import FUNCTIONS, Argument, Function, Kind
from spanver.validation import require

HEAD = '''"""A subject of spanver: all functions of the contract. Write those that you have, and leave the others.

docs/protocol.md says what each function computes ("Runs"), and docs/subjects.md what the values have that it is given
("Values in Python"). For instance

    oracle.sample(prompt, count).features    features (count, d) of `count` responses of the base policy
    score.of(features) / oracle.beta         logarithms (count,) of the weights of these responses

Remove the # before the names of the functions that are written, and then

    spanver verify {name}:subject --smoke
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spanver import Budget, Settings, TabularProblem
    from spanver.episodic import EpisodicOracle
    from spanver.learners.core_sets import Pairs
    from spanver.learners.mtss import MTSSSettings
    from spanver.oracle import Oracle
    from spanver.values import Prompt, Score

name = "{name}"
provides = (  # what is not listed is not called, and reported as not provided
{provides}
)
'''
TAIL = "\n\nsubject = sys.modules[__name__]\n"
KINDS = {
    Kind.ARRAY: "NDArray[np.float64]",
    Kind.LAYERS: "list[NDArray[np.float64]]",
    Kind.SCORE: "Score",
    Kind.SETTINGS: "Settings",
    Kind.ORACLE: "Oracle",
    Kind.EPISODIC_ORACLE: "EpisodicOracle",
    Kind.CORES: "list[Pairs]",
}
NUMBERS = "beta nu radius ridge approximation multiplier failure alpha"
COUNTS = "count seed prompts pairs_per_prompt rounds partition_samples layer"
NAMES = {
    **dict.fromkeys(NUMBERS.split(), "float"),
    **dict.fromkeys(COUNTS.split(), "int"),
    "prompt": "Prompt",
    "feedback": "str",
    "problem": "TabularProblem",
    "budget": "Budget | None",
}


def write_skeleton(name: str) -> Path:
    """Write `NAME.py` into the working directory.

    Parameters
    ----------
    name : str
        Of the module.

    Raises
    ------
    ArgumentError
        If it is not the name of a module, or there is such a file already.
    """
    is_name = name.isidentifier() and not keyword.iskeyword(name)
    require(is_name, "name", name, "the name of a module: letters, digits and underscores")
    path = Path(f"{name}.py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(skeleton(name))
    except FileExistsError:
        raise ArgumentError("name", name, f"of a file that does not exist yet; there is {path}") from None
    return path


def skeleton(name: str) -> str:
    """Return the text of a subject in which every function of the contract is still to be written."""
    names = "\n".join(f'    # "{each}",' for each in FUNCTIONS)
    functions = "".join(f"\n\n{_function(each)}" for each in FUNCTIONS.values())
    return HEAD.format(name=name, provides=names) + functions + TAIL


def _function(function: Function) -> str:
    types = NAMES | ({"settings": "MTSSSettings"} if function.is_layered else {})

    def written(arguments: Mapping[str, Argument]) -> list[str]:
        return [f"{name}: {types[name] if name in types else KINDS[each.kind]}" for name, each in arguments.items()]

    named = ["*", *written(function.named)] if function.named else []
    given = ", ".join([*written(function.positional), *named])
    lines = "\n".join(_docstring(function))
    return f'def {function.name}({given}) -> Any:\n    """{lines}"""\n    raise NotImplementedError\n'


def _docstring(function: Function) -> Iterator[str]:
    yield f"Return {function.result}."
    shapes = [f"    {name}: {each.words}" for name, each in function.arguments.items() if each.words]
    if "settings" in function.named:
        # Options of MTSS, which are no numbers, always have their defaults.
        of_mtss = [each for each in fields(MTSSSettings) if each.type in ("int", "float")]
        read = of_mtss if function.is_layered else fields(Settings)
        shapes += ["    settings, with attributes", *(f"        {each.name}" for each in read)]
    if shapes:
        yield ""
        yield from shapes
        yield "    "
