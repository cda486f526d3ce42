"""The line of the subject's own file that raised an error."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spanver.errors import where_raised

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
