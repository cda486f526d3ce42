"""What is said of the events of exploration rounds, and in which precision they are judged."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest

from spanver.errors import ViolationError
from spanver.verdicts import Verdict
from spanver.verification.selection import make_check
from spanver.zoo.catalogue import mutant

pair_laws, exploration = (import_module(f"spanver.properties.{each}") for each in ("pair_laws", "test_exploration_law"))
quick = partial(make_check, guarantees=("R3",), profile="quick", alpha=1e-6, seed=0)


def test_the_event_that_is_told_carries_the_evidence() -> None:
    def seen(index: int) -> dict[str, tuple[int, float, float]]:
        # The second one came as often as it should, which a mistake without an effect explains too.
        return {"guilty": (int(index % 20 < 17), 0.69, math.nan), "innocent": (int(index % 4 < 2), 0.5, 0.502)}

    found = pair_laws.told([seen(index) for index in range(400)])
    assert (found.of, found.expected) == ("guilty", "0.69")


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_shared_randomness_is_seen_in_every_precision(precision: str) -> None:
    check = quick(replace(mutant("independent-seed-per-run"), precision=precision), "rounds")
    with pytest.raises(ViolationError, match="rounds whose pair came more often than expected"):
        exploration.test_rounds_of_exploration_depend_on_their_second_response_and_on_no_earlier_round(check)
    assert check.finding.verdict is Verdict.VIOLATED
