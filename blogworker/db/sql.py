"""The only module that reads `sql/`: statements by name, the current schema, and the migrations in order."""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import LiteralString


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


def schema_rooms() -> list[str]:
    """The names of the files of `sql/schema`, in the order in which they are applied."""
    lines = (sql_dir() / "schema" / "order").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line and not line.startswith("#")]


def schema() -> str:
    """The whole of `sql/schema`. In an empty schema it creates what all migrations together create."""
    folder = sql_dir() / "schema"
    return "\n".join((folder / f"{room}.sql").read_text(encoding="utf-8") for room in schema_rooms())
