"""Results of a study in one SQLite table, written as points finish; a run that stopped goes on where it was."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from spanver.errors import ArgumentError
from spanver.studies.points import Measured, Numbers, Point

__all__ = ["Store", "open_store"]

_SCHEMA = """
create table if not exists about (name text primary key, value text not null);
create table if not exists results (
    study text not null, learner text not null, size real not null, seed integer not null, numbers text not null,
    primary key (study, learner, size, seed)
);
"""


class Store:
    """The table of one folder; integers of any size are kept, as numbers are text (JSON)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, point: Point, numbers: Numbers) -> None:
        """Write a point, for good, before the next one is waited for."""
        row = (point.study, point.learner, point.size, point.seed, json.dumps(dict(numbers), sort_keys=True))
        with self._connection:
            self._connection.execute("insert or replace into results values (?, ?, ?, ?, ?)", row)

    def all(self, study: str) -> list[Measured]:
        """Everything measured for a study, sorted by learner, size and seed, in whatever order it was added."""
        rows = self._connection.execute(
            "select study, learner, size, seed, numbers from results where study = ? order by learner, size, seed",
            (study,),
        )
        return [Measured(Point(*row[:4]), json.loads(row[4])) for row in rows]


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
        If the file is no such table, or is about something else.
    """
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.executescript(_SCHEMA)
            rows = connection.execute("select name, value from about")
        except sqlite3.DatabaseError as error:
            raise ArgumentError("out", str(path), f"a table of studies ({error})") from error
        known = dict(rows.fetchall())
        wanted = {name: json.dumps(value) for name, value in about.items()}
        if not known:
            with connection:
                connection.executemany("insert into about values (?, ?)", wanted.items())
        for name, value in wanted.items():
            if known and known.get(name) != value:
                raise ArgumentError("out", str(path), f"about {name} {value} (what is there has {known.get(name)})")
        yield Store(connection)
