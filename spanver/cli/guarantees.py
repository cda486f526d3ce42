"""The registry of guarantees as a table: at the terminal, and in the README.

`python -m spanver.cli.guarantees README.md` writes the README's table; with `--check` it only says whether it is
current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from spanver.cli.terminal import console, write_json
from spanver.errors import SpanverError
from spanver.guarantees import REGISTRY
from spanver.verification.collection import checked_by

__all__ = ["guarantee_rows", "guarantee_table", "main", "print_registry", "with_table"]

_BEGIN, _END = "<!-- guarantees:", "<!-- end of guarantees -->"


def print_registry(json_file: Path | None) -> None:
    """Print the registry, and write it to a file if one is given."""
    checks = checked_by()
    console.print(guarantee_table())
    unchecked = sum(name not in checks for name in REGISTRY)
    console.print(f"{len(REGISTRY)} guarantees, {unchecked} without a check yet")
    if json_file is not None:
        rows = [
            {
                "id": entry.id,
                "title": entry.title,
                "statement": entry.statement,
                "kind": entry.kind_text,
                "source": entry.source_text,
                "checked_by": list(checks.get(entry.id, ())),
            }
            for entry in REGISTRY.values()
        ]
        write_json(json_file, {"schema": "spanver.guarantees/1", "guarantees": rows})


def guarantee_table() -> Table:
    """Table of all guarantees for the terminal: id, title and statement, kind, source, names of its checks."""
    table = Table(show_lines=True)
    for heading in ("id", "statement", "kind", "from", "checked by"):
        table.add_column(heading, overflow="fold", ratio={"statement": 4, "checked by": 2}.get(heading))
    checks = checked_by()
    for entry in REGISTRY.values():
        table.add_row(
            entry.id,
            f"[bold]{escape(entry.title)}[/bold]\n{escape(entry.statement)}",
            entry.kind_text,
            entry.source_text,
            "\n".join(checks.get(entry.id, ("[yellow]no check yet[/yellow]",))),
        )
    return table


def guarantee_rows() -> str:
    """Table of all guarantees in Markdown: id, title, kind, source, number of properties and other checks."""
    checks = checked_by()
    rows = ["| id | guarantee | kind | from | checked by |", "|---|---|---|---|---|"]
    for entry in REGISTRY.values():
        names = checks.get(entry.id, ())
        count = sum(name.startswith("test_") for name in names)
        properties = [f"{count} properties" if count > 1 else "1 property"] if count else []
        parts = [*properties, *(f"`{name}`" for name in names if not name.startswith("test_"))]
        cell = ", ".join(parts) or "no check yet"
        rows.append(f"| {entry.id} | {_cell(entry.title)} | {entry.kind_text} | {_cell(entry.source_text)} | {cell} |")
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
    """Bring a README up to date; with `--check` only return whether it is, as an exit code."""
    path = Path(arguments[0])
    before = path.read_text(encoding="utf-8")
    after = with_table(before)
    if "--check" in arguments:
        return int(before != after)
    path.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
