"""A subject with one broken function, in a module of the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest

BROKEN = """
from spanver.subjects.reference import subject as reference

provides = ("fit", "elliptic_norms", "draw")
fit = reference.functions["fit"]
draw = reference.functions["draw"]


def elliptic_norms(features, sigma):
    return reference.functions["elliptic_norms"](features, sigma) ** 2
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "broken_module.py").write_text("import sys\n" + BROKEN + "subject = sys.modules[__name__]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "broken_module:subject"
