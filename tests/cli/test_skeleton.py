"""`spanver init`: the skeleton of a subject."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
from command_line import Command

from spanver.cli.skeleton import skeleton
from spanver.subjects.contract import FUNCTIONS


def test_the_skeleton_has_every_function_of_the_contract_and_provides_none(
    spanver: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = spanver("init", "my_own")
    assert said.code == 0
    assert "spanver verify my_own:subject --smoke" in said.out
    monkeypatch.syspath_prepend(str(tmp_path))
    module = import_module("my_own")
    assert module.np.sqrt(4.0) == 2.0  # what most functions need is there when they are called
    for function in FUNCTIONS.values():
        written = signature(getattr(module, function.name)).parameters
        assert list(written) == list(function.arguments)
        assert {name for name, each in written.items() if each.kind is each.KEYWORD_ONLY} == set(function.named)
        with pytest.raises(NotImplementedError):
            getattr(module, function.name)(*function.positional, **dict.fromkeys(function.named))
    verified = spanver("verify", "my_own:subject")
    assert verified.code == 2
    assert "nothing was checked: the subject provides no function" in verified.out
    written_once = Path("my_own.py").read_text()
    for name, words in (("my_own", "my_own.py"), ("my-own", "letters"), ("class", "letters")):
        refused = spanver("init", name)
        assert (refused.code, words in refused.err) == (2, True)
    assert Path("my_own.py").read_text() == written_once


def test_the_skeleton_is_clean_to_a_linter(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(skeleton("mine"))
    pytest.importorskip("ruff")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "mine.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_skeleton_names_the_settings_that_are_read_and_the_shapes_of_what_is_given() -> None:
    text = skeleton("mine")
    told = text[text.index("def fit_value(") : text.index("def uncertain_state_action(")]
    given = "oracle: EpisodicOracle, layer: int, cores: list[Pairs], thetas: NDArray[np.float64]"
    assert f"def fit_value({given}, *, seed: int, settings: MTSSSettings) -> Any:" in told
    assert "    cores: H core-sets\n    thetas: (H, d)\n" in told
    settings = told[told.index("attributes\n") : told.rindex('    """')].split()[1:]
    assert settings[:3] == ["iterations", "regression_rollouts", "span_rollouts"]
    assert settings[-1] == "threshold"  # and no options, which have their defaults
