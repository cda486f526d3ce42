"""The command line as a whole: help, version, the registry, and what is no command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Command, assert_refused

from spanver import __version__
from spanver.guarantees import REGISTRY


def test_guarantees_lists_every_id_of_the_registry(spanver: Command) -> None:
    said = spanver("guarantees", "--json", "all.json")
    assert said.code == 0
    content = json.loads(Path("all.json").read_text())
    assert content["schema"].startswith("spanver.guarantees/")
    assert [row["id"] for row in content["guarantees"]] == list(REGISTRY)
    for row in content["guarantees"]:
        assert {"id", "statement", "kind", "source", "checked_by"} <= set(row)
        assert row["id"] in said.out
    assert f"{len(REGISTRY)} guarantees" in said.out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["run", "--help"], ["certify", "--help"], ["guarantees", "-h"]]
)
def test_help_is_there(spanver: Command, arguments: list[str]) -> None:
    said = spanver(*arguments)
    assert said.code == 0
    assert "Usage" in said.out
    if arguments[0] == "run":
        for option in ("--problem", "--seed", "--budget", "--figure", "--resume", "--out"):
            assert option in said.out


def test_the_version_is_printed(spanver: Command) -> None:
    said = spanver("--version")
    assert (said.code, said.out) == (0, f"spanver {__version__}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--seed", "wide"],
        ["run", "--nu", "0.3"],
        ["run", "--no-such-option"],
        ["flee"],
        ["certify"],
        ["run", "surplus"],
    ],
    ids=" ".join,
)
def test_what_is_no_command_line_is_refused_with_2(spanver: Command, arguments: list[str]) -> None:
    said = spanver(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "Usage" in said.err


def test_the_installed_script_refuses_with_a_sentence_and_2(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("spanver")
    if not script.exists():
        pytest.skip("the script is not next to this interpreter")
    done = subprocess.run(
        [script, "run", "--problem", "haystack"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("spanver: problem is 'haystack'")


REFUSALS = [(["guarantees", "--json", "nowhere/all.json"], ["nowhere", "folder"])]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence(spanver: Command, arguments: list[str], words: list[str]) -> None:
    assert_refused(spanver(*arguments), words)
