"""What to verify, and how; and the file that says which guarantees are expected to fail."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from spanver.guarantees import REGISTRY
from spanver.validation import require, require_count, require_one_of, require_positive, require_probability
from spanver.verdicts import Verdict
from spanver.verification.profiles import PROFILES
from spanver.verification.selection import is_selected

TRUSTING = "in process: trusts the subject"
"""What verdicts of a subject that runs in the process of the harness say."""


@dataclass(frozen=True)
class Request:
    """What to verify, and how.

    Attributes
    ----------
    subject : str
        Name of the subject.
    command : str or None
        In place of a name: the command that starts the subject.
    profile : str
    only : str
        Ids or groups, separated by commas. Empty for all.
    alpha : float
    seed : int
    functions : str
        Functions, separated by commas: only properties that need one of them are run. Empty for all properties.
    in_process : bool
        Whether a Python subject runs in the process of the harness, which then trusts it.
    time_limit : float, optional
        Seconds of its own time that a call of a subject in another process may take. Default: 20.

    Raises
    ------
    ArgumentError
        If a value is out of range, or both a subject and a command are given.
    """

    subject: str = "reference"
    command: str | None = None
    profile: str = "quick"
    only: str = ""
    alpha: float = 1e-6
    seed: int = 0
    functions: str = ""
    in_process: bool = False
    time_limit: float | None = None

    def __post_init__(self) -> None:
        require_one_of("profile", self.profile, PROFILES)
        require_probability("alpha", self.alpha)
        require_count("seed", self.seed, least=0)
        is_selected((), self.only)  # refuses what names no guarantee
        if self.command is not None:
            require(self.command.strip() != "", "command", self.command, "a program, with its arguments")
            require(self.subject == Request.subject, "subject", self.subject, "left out where there is a command")
            require(not self.in_process, "in_process", True, "left out where there is a command")
        if self.time_limit is not None:
            require_positive("time_limit", self.time_limit)
            require(not self.in_process, "time_limit", self.time_limit, "left out with in_process, where none applies")

    def replay(self, guarantee: str) -> str:
        """Command that runs the properties of one guarantee again, with the same instances and the same randomness."""
        parts = ["spanver", "verify", *(["--command", self.command] if self.command else [self.subject])]
        parts += ["--in-process"] if self.in_process else []
        parts += [] if self.time_limit is None else ["--time-limit", repr(self.time_limit)]
        parts += ["--only", guarantee, "--profile", self.profile, "--seed", str(self.seed)]
        return shlex.join(parts + (["--alpha", repr(self.alpha)] if self.alpha != Request.alpha else []))


@dataclass(frozen=True)
class ExpectedFailure:
    """How one guarantee is expected to fail: violated or undecided, with a part of the message."""

    part: str
    verdict: Verdict = Verdict.VIOLATED

    def __str__(self) -> str:
        return self.part if self.verdict is Verdict.VIOLATED else f"{self.verdict.value}: {self.part}"


def read_expected_failures(path: Path) -> dict[str, ExpectedFailure]:
    """Read a file of expected failures, a line each: `S4: part of the message`, or `T2: undecided: part of the reason`.

    Lines that begin with `#` are comments.

    Raises
    ------
    ArgumentError
        If there is no such file, or a line names no guarantee, one that an earlier line names, or no part of a message.
    """
    require(path.is_file(), "expected_failures", str(path), "a file")
    entries: dict[str, ExpectedFailure] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            where = f"line {number} of {path}"
            name, _, rest = (each.strip() for each in line.partition(":"))
            head, _, reason = (each.strip() for each in rest.partition(":"))
            undecided = head == Verdict.UNDECIDED.value
            part = reason if undecided else rest
            require(part != "", where, line, "`guarantee: part of the message`")
            require(name in REGISTRY, where, line, "about a guarantee (spanver guarantees lists them)")
            require(name not in entries, where, line, f"the only line about {name}")
            entries[name] = ExpectedFailure(part, Verdict.UNDECIDED if undecided else Verdict.VIOLATED)
    return entries
