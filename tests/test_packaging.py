"""What is shipped: every package, and the versions that agree."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import spanver

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_in_the_tree_is_shipped() -> None:
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "spanver").rglob("__init__.py")}
    shipped = set(PROJECT["tool"]["setuptools"]["packages"])
    assert shipped == found | {"spanver.properties"}


def test_the_version_is_stated_once_and_means_the_same_everywhere() -> None:
    assert spanver.__version__ == PROJECT["project"]["version"] == version("spanver")


@pytest.mark.parametrize("page", ["README.md", "docs/subjects.md", "spanver/subjects/protocol.schema.json"])
def test_the_tables_of_a_page_are_those_of_the_package(page: str) -> None:
    from spanver.cli.pages import up_to_date  # noqa: PLC0415 (a module for maintainers, imported where it is tested)

    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- end of " in text or page.endswith(".json")
    assert up_to_date(ROOT / page) == text, f"bring it up to date: python -m spanver.cli.pages {page}"


def test_no_page_points_to_a_file_that_is_not_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [part.split(")", 1)[0] for part in readme.split("](")[1:]]
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
