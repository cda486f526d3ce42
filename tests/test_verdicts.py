"""A verdict has one exit code and one colour, and undecided never passes for holds."""

from __future__ import annotations

import itertools

from spanver.verdicts import Verdict, worst


def test_exit_codes_are_those_of_the_documentation() -> None:
    assert [verdict.exit_code for verdict in (Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDECIDED)] == [0, 1, 2]
    assert len({verdict.colour for verdict in Verdict}) == 3


def test_the_worst_is_violated_then_undecided_in_any_order() -> None:
    for verdicts in itertools.product(Verdict, repeat=3):
        expected = next(each for each in (Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.HOLDS) if each in verdicts)
        assert worst(verdicts) is expected
    assert worst([]) is Verdict.HOLDS
