"""`spanver guarantees`: the registry of guarantees as a table at the terminal, or one of them with all details."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from spanver.cli.terminal import console, plain, write_json
from spanver.guarantees import REGISTRY, guarantee
from spanver.verification.collection import checked_by, find_properties
from spanver.zoo.catalogue import find


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


def print_guarantee(name: str) -> None:
    """Print one guarantee: its statement, what checks it, and the mistakes that its properties are designed to catch.

    Raises
    ------
    ArgumentError
        If there is none of this id.
    """
    entry = guarantee(name)
    plain(f"{entry.id}: {entry.title}\n{entry.statement}\n{entry.kind_text}; from: {entry.source_text}")
    if entry.claim:
        plain(f"judged only for subjects that claim to be {entry.claim}")
    for check in checked_by().get(name, ("nothing yet",)):
        plain(f"checked by {check}")
    for found in find_properties():
        if name not in found.guarantees or not found.design.mistakes:
            continue
        plain(f"\n{found.name} runs {len(found.design.instances)} designed instances first, which show that a subject")
        for mistake, effect in found.design.mistakes.items():
            shown = "certainly fails"
            if effect is not None:
                effects = sorted(effect(**instance) for instance in found.design.instances)
                shown = f"moves what is judged by {effects[len(effects) // 2]:.2f} to {effects[-1]:.2f} on half of them"
            plain(f"  {find(mistake).bug}: {shown} (zoo:{mistake})")
