"""Tables in pages, and names in the protocol's schema, that are written from the package, not by hand.

`python -m spanver.cli.pages README.md docs/subjects.md spanver/subjects/protocol.schema.json` brings them up to date.
With `--check` nothing is written, and the exit code says whether the files are current.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from spanver.guarantees import REGISTRY
from spanver.subjects.contract import FUNCTIONS, Argument
from spanver.verification.collection import checked_by


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


def contract_rows() -> str:
    """Table of the contract in Markdown: function, positional and named arguments, result."""
    rows = ["| function | arguments | passed by name | result |", "|---|---|---|---|"]
    for each in FUNCTIONS.values():
        given, named = (
            ", ".join(_argument(name, argument) for name, argument in arguments.items())
            for arguments in (each.positional, each.named)
        )
        rows.append(f"| `{each.name}` | {given} | {named} | {each.result} |")
    return "\n".join(rows) + "\n"


def _argument(name: str, argument: Argument) -> str:
    return f"{name} {argument.words}".strip()


_TABLES = {"guarantees": guarantee_rows, "contract": contract_rows}


def with_tables(page: str) -> str:
    """Return a page with the tables between its marks, `<!-- NAME: .. -->` to `<!-- end of NAME -->`, up to date."""
    for name, rows in _TABLES.items():
        begin, end = page.find(f"<!-- {name}:"), page.find(f"<!-- end of {name} -->")
        if 0 <= begin < end:
            page = page[: page.index("\n", begin) + 1] + rows() + page[end:]
    return page


def with_names(schema: str) -> str:
    """Return the protocol's schema with the names of the functions of the contract."""
    names = ",\n".join(f'        "{name}"' for name in sorted(FUNCTIONS))
    return re.sub(r'(?<="function": {\n      "enum": \[\n).*?(?=\n      ])', names, schema, flags=re.DOTALL)


def up_to_date(path: Path) -> str:
    """Return what a page, or the schema, should hold."""
    text = path.read_text(encoding="utf-8")
    return with_names(text) if path.suffix == ".json" else with_tables(text)


def main(arguments: list[str]) -> int:
    """Bring files up to date; with `--check` only return whether they are, as an exit code."""
    stale = False
    for path in map(Path, (each for each in arguments if each != "--check")):
        before = path.read_text(encoding="utf-8")
        after = up_to_date(path)
        stale |= before != after
        if "--check" not in arguments:
            path.write_text(after, encoding="utf-8")
    return int(stale and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
