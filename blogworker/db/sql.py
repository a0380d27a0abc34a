"""The only module that reads `sql/`: statements by name, the current schema, and the migrations in order."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import LiteralString

PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")
COMMENT_LINE = re.compile(r"\n\s*--.*")


def sql_dir() -> Traversable:
    """Return the folder `sql/`: inside the package in a wheel, beside it in a checkout or an editable install."""
    packaged = files("blogworker") / "sql"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "sql"


@cache
def query(name: str) -> LiteralString:
    """Return the text of `sql/queries/<name>.sql`, for example for "queue/claim"."""
    path = sql_dir()
    for part in ("queries", *f"{name}.sql".split("/")):
        path = path / part
    return path.read_text(encoding="utf-8")


def statement_names() -> list[str]:
    """The names of all statements, such as "queue/claim"."""
    rooms = [room for room in (sql_dir() / "queries").iterdir() if room.is_dir()]
    return [f"{room.name}/{file.name.removesuffix('.sql')}" for room in rooms for file in room.iterdir()]


def read_statements() -> None:
    """Read every statement but those of benchmarks now: an upgrade may replace the files while this process runs."""
    for name in statement_names():
        if not name.startswith("bench/"):
            query(name)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the server takes it: `$1` for the first of `names`, and so on.

    Converted once. The driver converts a text of more than 4,096 characters at each execution. The comments go, except
    the first line, by which pg_stat_activity shows what runs.
    """

    text: bytes
    names: tuple[str, ...]

    def values(self, parameters: Mapping[str, object]) -> list[object]:
        return [parameters[name] for name in self.names]


@cache
def prepared(name: str) -> Prepared:
    """Return `sql/queries/<name>.sql` in the form of the server."""
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}" if found[1] else "%"

    text = PLACEHOLDER.sub(number, COMMENT_LINE.sub("", query(name)))
    return Prepared(text.encode(), tuple(names))


def schema_rooms() -> list[str]:
    """The names of the files of `sql/schema`, in the order in which they are applied."""
    lines = (sql_dir() / "schema" / "order").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line and not line.startswith("#")]


def schema() -> str:
    """The whole of `sql/schema`. In an empty schema it creates what all migrations together create."""
    folder = sql_dir() / "schema"
    return "\n".join((folder / f"{room}.sql").read_text(encoding="utf-8") for room in schema_rooms())
