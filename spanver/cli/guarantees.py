"""`spanver guarantees`: the registry of guarantees as a table at the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from spanver.cli.terminal import console, write_json
from spanver.guarantees import REGISTRY
from spanver.verification.collection import checked_by


def print_registry(json_file: Path | None) -> None:
    """Print the registry with the names of its checks, and write it to a file if one is given."""
    checks = checked_by()
    table = Table(show_lines=True)
    for heading in ("id", "statement", "kind", "from", "checked by"):
        table.add_column(heading, overflow="fold", ratio={"statement": 4, "checked by": 2}.get(heading))
    for entry in REGISTRY.values():
        table.add_row(
            entry.id,
            f"[bold]{escape(entry.title)}[/bold]\n{escape(entry.statement)}",
            entry.kind_text,
            entry.source_text,
            "\n".join(checks.get(entry.id, ("[yellow]no check yet[/yellow]",))),
        )
    console.print(table)
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
