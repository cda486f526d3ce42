"""The counterexamples of docs/errata.md compute what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "errata.md"


def test_counterexamples_compute_what_the_page_says() -> None:
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert attempted >= 25
    assert failed == 0
