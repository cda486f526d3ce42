"""Write the README's table of guarantees from the registry: `python -m spanver.cli.guarantees README.md [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

from spanver.errors import SpanverError
from spanver.guarantees import REGISTRY
from spanver.verification.collection import checked_by

__all__ = ["guarantee_rows", "main", "with_table"]

_BEGIN, _END = "<!-- guarantees:", "<!-- end of guarantees -->"


def guarantee_rows() -> str:
    """Table of all guarantees in Markdown: id, title, kind, source, number of checks."""
    checks = checked_by()
    rows = ["| id | guarantee | kind | from | checked by |", "|---|---|---|---|---|"]
    for entry in REGISTRY.values():
        names = ", ".join(f"`{name}`" for name in checks.get(entry.id, ())) or "no check yet"
        rows.append(f"| {entry.id} | {_cell(entry.title)} | {entry.kind_text} | {_cell(entry.source_text)} | {names} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


def with_table(readme: str) -> str:
    """Return a README with its table brought up to date."""
    begin, end = readme.find(_BEGIN), readme.find(_END)
    if begin < 0 or end < begin:
        raise SpanverError("the README has no marks between which its table of guarantees stands")
    first_line = readme.index("\n", begin) + 1
    return readme[:first_line] + guarantee_rows() + readme[end:]


def main(arguments: list[str]) -> int:
    """Bring a README up to date, or with `--check` say by the exit code whether it is."""
    path = Path(arguments[0])
    before = path.read_text(encoding="utf-8")
    after = with_table(before)
    if "--check" in arguments:
        return int(before != after)
    path.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
