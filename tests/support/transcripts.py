"""Where the transcripts of docs/protocol.md come from, and what docs/subjects.md says is printed.

`python tests/support/transcripts.py docs/protocol.md` brings a page up to date. The transcripts are conversations with
this program, as they went over the pipe. With `serve` in place of the page it is the program at the other end: the
reference, and the plainest possible version of what the reference does not provide. What is printed is that of commands
on the file in Python that stands in the page, with the changes that stand before the command.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

from spanver.cli.app import main
from spanver.cli.terminal import console
from spanver.errors import BudgetExceededError
from spanver.learners.core_sets import Pairs, no_pairs, with_anchor
from spanver.learners.mtss import MTSSSettings
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget
from spanver.oracles.episodic import episodic_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.metered import MeteredOracle
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.serve import serve
from spanver.subjects import process, reference
from spanver.subjects.channel import Channel
from spanver.subjects.contract import Subject
from spanver.subjects.protocol import JSON
from spanver.values import LinearScore

__all__ = ["RUNS", "Session", "page_sessions", "page_transcripts", "printed", "transcript"]

EXAMPLE = re.compile(r"```python\n# (\w+)\.py\n.*?```", re.DOTALL)
CHANGES = re.compile(r"^-(.*)\n\+(.*)\n", re.MULTILINE)
SESSION = re.compile(r"(<!-- printed -->\n```text\n\$ spanver ([^\n]*)\n)(.*?)```\n", re.DOTALL)
PAGE = re.compile(r"<!-- transcript: (\w+) -->\n```text\n(.*?)```\n", re.DOTALL)
PLAIN: dict[str, Callable[..., Any]] = {
    "ridge_regression": lambda v, y, ridge: np.linalg.solve(v.T @ v + ridge * np.eye(v.shape[1]), v.T @ y),
    "barycentric_spanner": lambda vectors, _: np.arange(vectors.shape[1]),  # right where the first are the longest
    "covering_list": lambda vectors, _ridge, _nu: np.arange(len(vectors)),  # right where once each is enough
    "pivoted_diagonal": lambda vectors: np.abs(np.diag(vectors)),  # right for a diagonal in falling order
}
SUBJECT = Subject(name="transcripts", functions=dict(reference.subject.functions) | PLAIN)


PROBLEM = TabularProblem(
    prompt_law=np.array([1.0]),
    log_base=np.log([[0.5, 0.25, 0.25]]),
    features=np.array([[[0.5, 0.0], [-0.5, 0.0], [0.0, 1.0]]]),
    reward=np.array([[1.0, 0.0, 0.5]]),
    beta=0.5,
    radius=2.0,
)


def _oracle(samples: int | None = None, *, full_table: bool = False) -> MeteredOracle:
    return literal_oracle(PROBLEM, seed=1, budget=Budget(samples=samples), full_table=full_table)


def _two_layers() -> LayeredMDP:
    """The action of the first layer is the state of the second, and the reward there counts equal actions."""
    half = np.log(0.5)
    return LayeredMDP(
        initial_law=np.array([1.0]),
        successors=[np.array([[[0], [1]]])],
        transitions=[np.ones((1, 2, 1))],
        log_base=[np.full((1, 2), half), np.full((2, 2), half)],
        features=[np.array([[[0.0], [0.5]]]), np.array([[[0.0], [-0.5]], [[0.0], [0.5]]])],
        rewards=[np.zeros((1, 2)), np.array([[0.0, 0.0], [0.0, 1.0]])],
        beta=0.5,
        radius=2.0,
        rewarded=(False, True),
    )


def _one_layer() -> LayeredMDP:
    return LayeredMDP(
        initial_law=np.array([1.0]),
        successors=[],
        transitions=[],
        log_base=[np.log([[0.5, 0.5]])],
        features=[np.array([[[0.0], [0.5]]])],
        rewards=[np.array([[0.0, 1.0]])],
        beta=0.5,
        radius=2.0,
    )


def _at_a_layer(run: Callable[..., Any], layer: int) -> Any:
    """A call whose core-set of the first layer holds one pair and its anchor's, and that of the second none."""
    oracle, ones = episodic_oracle(_two_layers(), seed=1, literal=True), np.ones(1, dtype=np.int64)
    oracle.start(1)  # so that the state of the pair is issued
    cores = [with_anchor(Pairs(0 * ones, ones, 0 * ones, np.array([[0.5]]))), no_pairs(1)]
    return run(oracle, layer, cores, np.array([[0.0], [1.0]]), seed=7, settings=_LAYERED)


def _queried(factory: Callable[..., Any]) -> None:
    oracle = factory(PROBLEM, seed=7, budget=Budget(samples=3))
    oracle.sample(oracle.prompt(), 2)
    assert oracle.ledger.samples == 2
    oracle.sample_counts(0, 2)


def _told(factory: Callable[..., Any]) -> None:
    oracle = factory(PROBLEM, seed=7)
    oracle.sample_log_probabilities(oracle.prompt(), 2, np.array([1.0, 0.0]))


_FEATURES, _TARGETS = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([3.0, 4.0])
_LAW, _BASE = np.log([0.75, 0.25]), np.log([0.5, 0.5])
_PROCESS: tuple[Any, ...] = (
    [_BASE[None], _BASE[None].repeat(2, axis=0)],
    [np.array([[0.0, 0.5]]), np.array([[0.0, 1.0], [0.0, 0.5]])],
    [np.array([[[1.0, 0.0], [0.25, 0.75]]])],
    0.5,
)
_CALL: dict[str, Any] = {"multiplier": 1.0, "failure": 0.5, "seed": 7}
_SETTINGS = Settings(
    prompts=1,
    pairs_per_prompt=4,
    nu=0.5,
    ridge=1.0,
    exploration_rounds=1,
    rejection_multiplier=1.0,
    rejection_failure=0.5,
)
_LAYERED = MTSSSettings(
    iterations=2, regression_rollouts=1, span_rollouts=1, base_draws=4, multiplier=1.0, failure=0.5, ridge=1.0, nu=1.0
)


def _sampled(function: Callable[..., Any], samples: int | None = None) -> Any:
    oracle = _oracle(samples)
    return function(oracle, oracle.prompt(), LinearScore(np.array([1.0, 0.0])), **_CALL)


RUNS: Mapping[str, tuple[str, Callable[[Callable[..., Any]], Any]]] = {
    "elliptic_norms": ("elliptic_norms", lambda run: run(np.array([[3.0, 4.0]]), 4.0 * np.eye(2))),
    "log_softmax": ("log_softmax", lambda run: run(np.array([0.0, -np.inf]), np.array([1.0, 2.0]), 0.5)),
    "truncated_scores": (
        "truncated_scores",
        lambda run: run(_FEATURES, np.zeros(2), np.array([1.0, 1.0]), np.eye(2), 1.5),
    ),
    "kl_divergence": ("kl_divergence", lambda run: run(_LAW, _BASE)),
    "kl_estimate": ("kl_estimate", lambda run: run(_LAW, _BASE)),
    "log_coverage": ("log_coverage", lambda run: run(_LAW, _BASE)),
    "fit": ("fit", lambda run: run(_FEATURES, _TARGETS, 5.0)),
    "box_fit": ("box_fit", lambda run: run(_FEATURES, _TARGETS, 2.0)),
    "fit_preferences": ("fit_preferences", lambda run: run(np.ones((4, 1)), np.array([1.0, 1.0, 1.0, -1.0]), 5.0)),
    "ridge_regression": ("ridge_regression", lambda run: run(_FEATURES, _TARGETS, 1.0)),
    "draw": ("draw", lambda run: run(np.array([0.5, 0.0, 0.5]), 4, 3)),
    "draw_weights": ("draw_weights", lambda run: run(np.array([3e8, 0.0, 1e8]), 4, 3)),
    "draw_logits": ("draw_logits", lambda run: run(np.array([1000.0, -np.inf, 1000.0]), 4, 3)),
    "draw_batch": ("draw_batch", lambda run: run(np.array([[0.5, 0.5], [0.0, 1.0]]), 3, 3)),
    "draw_distinct": ("draw_distinct", lambda run: run(np.array([7.0, 2.0, 0.0, 1.0]), 2, 3)),
    "barycentric_spanner": ("barycentric_spanner", lambda run: run(_FEATURES, 2.0)),
    "covering_list": ("covering_list", lambda run: run(_FEATURES, 1.0, 0.95)),
    "pivoted_diagonal": ("pivoted_diagonal", lambda run: run(np.diag([2.0, 1.0]))),
    "softmax_sample": ("softmax_sample", _sampled),
    "softmax_sample_density": ("softmax_sample_density", _sampled),
    "race_sample": ("race_sample", _sampled),
    "build_spanner": (
        "build_spanner",
        lambda run: run(_oracle(), prompts=1, pairs_per_prompt=4, nu=0.5, ridge=1.0, seed=7),
    ),
    "spanner_sampling": ("spanner_sampling", lambda run: run(_oracle(), seed=7, settings=_SETTINGS)),
    "preference_sampling": (
        "preference_sampling",
        lambda run: run(_oracle(), seed=7, settings=replace(_SETTINGS, feedback="preference")),
    ),
    "anchored_sampling": (
        "anchored_sampling",
        lambda run: run(_oracle(), seed=7, settings=replace(_SETTINGS, anchor="fixed")),
    ),
    "passive_learner": ("passive_learner", lambda run: run(_oracle(), rounds=1, seed=7)),
    "online_dpo": ("online_dpo", lambda run: run(_oracle(), rounds=2, seed=7, feedback="preference")),
    "xpo": ("xpo", lambda run: run(_oracle(), rounds=1, alpha=0.125, seed=7, feedback="reward", partition_samples=4)),
    "soft_q": ("soft_q", lambda run: run(*_PROCESS)),
    "policy_q": ("policy_q", lambda run: run([_BASE[None], np.array([_LAW, _BASE])], *_PROCESS)),
    "elliptical_enumeration": (
        "elliptical_enumeration",
        lambda run: run(_oracle(full_table=True), rounds=1, ridge=1.0, seed=7),
    ),
    "best_of_n": ("best_of_n", lambda run: run(_oracle(), rounds=1, count=16, seed=7)),
    "fit_value": ("fit_value", lambda run: _at_a_layer(run, 0)),
    "uncertain_state_action": ("uncertain_state_action", lambda run: _at_a_layer(run, 1)),
    "mtss": ("mtss", lambda run: run(episodic_oracle(_one_layer(), seed=1, literal=True), seed=7, settings=_LAYERED)),
    "literal_oracle": ("literal_oracle", _queried),
    "counted_oracle": ("counted_oracle", lambda run: run(PROBLEM, seed=7)),
    "generalised_oracle": ("generalised_oracle", _told),
    "refused": ("softmax_sample", lambda run: _sampled(run, samples=5)),
}
"""What is run for each transcript: the function, and how it is called."""


def transcript(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Run one conversation, and return its messages with their senders, `harness` or `program`."""
    said: list[tuple[str, dict[str, Any]]] = []

    def sent(message: Mapping[str, Any]) -> bytes:
        line = JSON.encode(message)
        said.append(("harness", json.loads(line)))
        return line

    def received(line: bytes) -> dict[str, Any]:
        said.append(("program", json.loads(line)))
        return JSON.decode(line)

    heard = replace(JSON, encode=sent, decode=received)
    with patch("spanver.subjects.channel.JSON", heard), patch("spanver.subjects.process.FORMS", {"json": heard}):
        subject = process.process_subject(shlex.join([sys.executable, __file__, "serve"]))
        function, call = RUNS[name]
        try:
            call(subject.functions[function])
        except BudgetExceededError:
            pass
        finally:
            subject.close()
    return said if name == "refused" else said[2:]


def page_transcripts(page: str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Return the transcripts that stand in a page."""
    senders = {">": "harness", "<": "program"}
    return {
        name: [(senders[line[0]], json.loads(line[1:])) for line in lines.splitlines()]
        for name, lines in PAGE.findall(page)
    }


@dataclass(frozen=True)
class Session:
    """A command of a page: the file that it is run on, its arguments, and what the page says that it prints."""

    module: str
    source: str
    arguments: list[str]
    stated: list[str]


def page_sessions(page: str) -> list[Session]:
    """Return the commands of a page."""
    example, start, sessions = EXAMPLE.search(page), 0, []
    for match in SESSION.finditer(page):
        assert example is not None
        source = example[0].removeprefix("```python\n").removesuffix("```")
        for before, after in CHANGES.findall(page, start, match.start()):
            assert source.count(f"{before}\n") == 1, before
            source = source.replace(f"{before}\n", f"{after}\n")
        sessions.append(Session(example[1], source, shlex.split(match[2]), match[3].splitlines()))
        start = match.end()
    return sessions


def printed(session: Session, folder: Path) -> list[str]:
    """Run a command in a folder; return its lines without those of progress, whose order depends on the processors."""
    (folder / f"{session.module}.py").write_text(session.source, encoding="utf-8")
    said = io.StringIO()
    with (
        chdir(folder),
        redirect_stdout(said),
        patch.object(console, "_width", 110),
        patch("sys.argv", ["spanver", *session.arguments, "--workers", "1"]),
        suppress(SystemExit),
    ):
        main()
    return [line.rstrip() for line in said.getvalue().splitlines() if not line.startswith("[")]


def _brought_up_to_date(page: str) -> str:
    def block(match: re.Match[str]) -> str:
        marks = {"harness": ">", "program": "<"}
        lines = [f"{marks[sender]} {json.dumps(message)}\n" for sender, message in transcript(match[1])]
        return f"<!-- transcript: {match[1]} -->\n```text\n{''.join(lines)}```\n"

    sessions = iter(page_sessions(page))

    def output(match: re.Match[str]) -> str:
        with TemporaryDirectory() as folder:
            return "\n".join([match[1].rstrip("\n"), *printed(next(sessions), Path(folder)), "```\n"])

    return SESSION.sub(output, PAGE.sub(block, page))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Channel(sys.stdin.fileno(), sys.stdout.fileno()), lambda: SUBJECT)
    else:
        path = Path(sys.argv[1])
        path.write_text(_brought_up_to_date(path.read_text(encoding="utf-8")), encoding="utf-8")
