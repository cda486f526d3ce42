"""Findings and instances as plain data."""

from __future__ import annotations

import json

import numpy as np

from spanver.verdicts import Verdict
from spanver.verification.finding import Call, Fault, Finding, finding_from_json, finding_to_json, plain
from spanver.verification.profiles import Demand


def test_instances_are_shown_as_json_has_them() -> None:
    shown = plain({"a": np.array([1.0, -np.inf]), "b": (1, "x"), "c": Verdict.HOLDS, "d": Demand(0.1, 8)})
    assert json.loads(json.dumps(shown)) == {
        "a": [1.0, "-inf"],
        "b": [1, "x"],
        "c": "holds",
        "d": {"discrepancy": 0.1, "instances": 8},
    }


def test_a_finding_survives_the_text_that_carries_it() -> None:
    finding = Finding(
        "a", ("S4", "S5"), Verdict.VIOLATED, "statistical", 3, 1e-9, 0.1, 0.5, "raised", "no", "shares", "0.2", "0.1",
        (("first", 0.2, 0.1),), Call("fit", {"radius": "1"}, 2, "prompt"),
        Fault("fit", "raised", "TypeError", "a.py:1"),
        {"x": [1]}, ("{}",), 2.5,
    )  # fmt: skip
    assert finding_from_json(finding_to_json(finding)) == finding
    assert finding_from_json(finding_to_json(Finding("b", ()))) == Finding("b", ())
