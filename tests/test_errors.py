"""The line of the subject's own file that raised an error, and values in messages."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spanver.errors import ArgumentError, where_raised

SOURCE = """
import json

import numpy as np


def inside(text):
    return json.loads(text)


def outside(array):
    return np.linalg.inv(array)
"""


def module_at(path: Path) -> ModuleType:
    path.write_text(SOURCE)
    module = ModuleType("mine")
    exec(compile(SOURCE, str(path), "exec"), vars(module))
    return module


def test_it_is_the_last_line_before_a_library_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = module_at(tmp_path / "mine.py")
    with pytest.raises(json.JSONDecodeError) as raised:
        mine.inside("{")
    assert where_raised(raised.value) == f"{tmp_path}/mine.py:8"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(np.linalg.LinAlgError) as raised_too:
        mine.outside(np.zeros((2, 2)))
    assert where_raised(raised_too.value) == "mine.py:12"


def test_an_error_without_a_frame_of_the_subject_has_no_line() -> None:
    assert where_raised(ValueError("never raised")) == ""


def test_a_number_of_more_digits_than_python_prints_is_told_by_its_size() -> None:
    assert str(ArgumentError("count", 10**5000, "less")) == "count is a number of 16610 bits, but it must be less"
    assert str(ArgumentError("count", -(10**70), "less")) == f"count is -{10**70}, but it must be less"
