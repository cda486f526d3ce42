"""Results of a study in one SQLite table, written as points finish; a run that stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import spanver
from spanver.errors import ArgumentError
from spanver.studies.engine.study import Measurement, Numbers, Point
from spanver.validation import require

_SCHEMA = """
create table if not exists about (name text primary key, value text not null);
create table if not exists results (
    study text not null, learner text not null, size real not null, seed integer not null, numbers text not null,
    primary key (study, learner, size, seed)
);
"""


class Store:
    """The table of one folder; integers of any size are kept, as numbers are text (JSON)."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def add(self, point: Point, numbers: Numbers) -> None:
        """Write a point, for good, before the next one is waited for."""
        row = (point.study, point.learner, point.size, point.seed, json.dumps(dict(numbers), sort_keys=True))
        with self._connection:
            self._connection.execute("insert or replace into results values (?, ?, ?, ?, ?)", row)

    def all(self, study: str) -> list[Measurement]:
        """Everything measured for a study, sorted by learner, size and seed, in whatever order it was added.

        Raises
        ------
        ArgumentError
            If a row is damaged: its numbers cannot be read, or are not those of the learner's other rows.
        """
        rows = self._connection.execute(
            "select study, learner, size, seed, numbers from results where study = ? order by learner, size, seed",
            (study,),
        )
        measured = [Measurement(Point(*row), self._numbers(Point(*row), text)) for *row, text in rows]
        names: dict[str, set[str]] = {}
        for each in measured:
            if names.setdefault(each.point.learner, set(each.numbers)) != set(each.numbers):
                raise self._damaged(each.point)
        return measured

    def _numbers(self, point: Point, text: str) -> Numbers:
        try:
            numbers = json.loads(text)
        except ValueError as error:
            raise self._damaged(point) from error
        if not isinstance(numbers, dict) or not all(isinstance(each, int | float | None) for each in numbers.values()):
            raise self._damaged(point)
        return numbers

    def _damaged(self, point: Point) -> ArgumentError:
        allowed = f"a table without damage, and its row of {point} is; delete the file or give another folder"
        return ArgumentError("out", self._path, allowed)


@contextmanager
def open_store(path: Path, about: Mapping[str, Any]) -> Iterator[Store]:
    """Open the table of a file, made anew if there is none.

    Parameters
    ----------
    path : Path
    about : mapping
        What decides the numbers: seed, revision of the code, versions. A table made with other values is refused.

    Raises
    ------
    ArgumentError
        If the file is no such table, is about something else, or cannot be written.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(_SCHEMA)
            known = dict(connection.execute("select name, value from about").fetchall())
            wanted = {name: json.dumps(value) for name, value in about.items()}
            if not known and connection.execute("select 1 from results limit 1").fetchone() is None:
                with connection:
                    connection.executemany("insert into about values (?, ?)", wanted.items())
                known = wanted
            says = "a table that says what its numbers are about; delete it or give another folder"
            require(bool(known), "out", path, says)
            for name, value in wanted.items():
                if known.get(name) != value:
                    allowed = f"about {name} {value}, and is about {known.get(name)}; delete it or give another folder"
                    raise ArgumentError("out", path, allowed)
            yield Store(connection, path)
    except sqlite3.Error as error:
        raise ArgumentError("out", path, f"a table of studies that can be read and written ({error})") from error


# All that a point runs. Properties, subjects, commands and tables that people see decide no number.
_ABOVE = frozenset({"cli", "loading.py", "serve.py", "strategies.py", "subjects", "verification", "zoo"})
"""Parts of the package that no study imports; a new part counts unless it is named here."""


@cache
def revision() -> str:
    """Return a digest of the sources of all modules that a study's numbers depend on.

    Results of one revision are not mixed with those of another, neither in a table that is gone on with nor from a
    worker that has other code.
    """
    package = Path(spanver.__path__[0])
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.parts[0] not in _ABOVE:
            digest.update(place.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
