"""The list of properties is collected from the property modules, and equals what pytest collects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from spanver.guarantees import REGISTRY
from spanver.runs.certify import CERTIFIED
from spanver.subjects.contract import FUNCTIONS
from spanver.verification import collection
from spanver.verification.collection import checked_by, find_properties


def test_every_id_that_a_property_names_is_in_the_registry() -> None:
    found = checked_by()
    assert set(found) <= set(REGISTRY)
    assert all(found.values())


def test_markers_of_the_properties_are_found() -> None:
    found = checked_by()
    assert any(name.startswith("test_") for name in found["S4"])
    assert any(name.startswith("test_") for name in found["E6"])


def test_what_certify_checks_is_listed_under_its_name() -> None:
    found = checked_by()
    assert {name for name, names in found.items() if "spanver certify" in names} == set(CERTIFIED)


def test_every_headline_result_has_a_study() -> None:
    found = checked_by()
    studied = {name for name, names in found.items() if any(each.startswith("spanver study ") for each in names)}
    assert studied >= {"T1", "T2", "T3", "T4", "T5", "T6", "E4", "O2"}
    assert all(checked_by()[name] for name in REGISTRY)


def test_markers_are_read_from_the_files_of_properties_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_properties"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "test_one.py").write_text(
        "import pytest\nfrom spanver.verification.search import experiments as another_name\n\n"
        "@pytest.mark.guarantee('S4', 'S5', needs=['fit'])\n@pytest.mark.skip\ndef test_two_at_once(): ...\n\n"
        "@pytest.mark.guarantee('S6')\n@another_name()\ndef test_a_statistical_one(): ...\n\n"
        "@pytest.mark.parametrize('S1', [1])\ndef test_another_marker(): ...\n\n"
        "def helper(): ...\n"
    )
    (package / "conftest.py").write_text("import pytest\n\n@pytest.mark.guarantee('S6')\ndef test_no(): ...\n")
    (package / "test_notes.txt").write_text("@pytest.mark.guarantee('S6')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(collection, "PACKAGE", "some_properties")
    found = find_properties.__wrapped__()
    assert [(each.name, each.guarantees, each.needs, each.statistical) for each in found] == [
        ("test_two_at_once", ("S4", "S5"), frozenset({"fit"}), False),
        ("test_a_statistical_one", ("S6",), frozenset(), True),
    ]
    assert [each.test.__name__ for each in found] == [each.name for each in found]
    assert not any(name.startswith("some_properties.") for name in sys.modules), "left to pytest"


def test_what_is_found_is_what_pytest_collects() -> None:
    command = [sys.executable, "-m", "pytest", "--pyargs", "spanver.properties", "-m", "guarantee"]
    command += ["--collect-only", "-q", "-p", "no:cacheprovider"]
    collected = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"::(test_\w+)", collected)
    assert sorted(names) == sorted(each.name for each in find_properties())


def test_every_property_that_there_is_can_run_on_some_subject() -> None:
    assert all(each.needs <= set(FUNCTIONS) for each in find_properties())
    assert all(set(each.guarantees) <= set(REGISTRY) for each in find_properties())
