"""The only reader of `sql/`: statements by name, and the migrations in order."""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import LiteralString


def sql_dir() -> Traversable:
    """`sql/`: inside the package in a wheel, beside it in a checkout or an editable install."""
    packaged = files("blogworker") / "sql"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "sql"


@cache
def query(name: str) -> LiteralString:
    """The text of `sql/queries/<name>.sql`, for example "queue/claim"."""
    path = sql_dir()
    for part in ("queries", *f"{name}.sql".split("/")):
        path = path / part
    return path.read_text(encoding="utf-8")
