"""The command line as a fixture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import Command, Said

from spanver.cli.app import main


@pytest.fixture
def spanver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in a fresh folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["spanver", *arguments])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code, " ".join(captured.out.split()), " ".join(captured.err.split()))

    return command
