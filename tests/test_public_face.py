"""The public names: one page lists them, each loads, and the README's example uses them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import spanver

ROOT = Path(__file__).parents[1]


def test_the_page_lists_exactly_the_public_names() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(dir(spanver))
    assert len(listed) == len(set(listed))


def test_every_public_name_loads_and_has_a_docstring() -> None:
    for name in dir(spanver):
        value = getattr(spanver, name)
        assert name == "REGISTRY" or value.__doc__


def test_importing_loads_no_library_before_a_name_is_used() -> None:
    program = (
        "import sys, spanver; print({'numpy', 'scipy', 'hypothesis'} & set(sys.modules)); "
        "spanver.gap; print('numpy' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert finished.stdout == "set()\nTrue\n"


def test_the_example_of_the_readme_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    finished = subprocess.run([sys.executable, "-c", example], check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "Ledger(" in finished.stdout
