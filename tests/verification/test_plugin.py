"""The properties in anybody's pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_suite_runs_in_anybodys_pytest(broken: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "spanver.properties", "-p", "no:cacheprovider"]
    command += ["--subject", broken, "--spanver-only", "S8,E6", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "1 passed" in done.stdout
    assert "smallest instance" in done.stdout
