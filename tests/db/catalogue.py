"""Everything that a schema consists of, read from the system catalogues, so that two databases can be compared."""

from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

TEXT = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
TABLES = "select tablename::text as name from pg_tables where schemaname = %(schema)s"

Catalogue = dict[tuple[str, str], Any]


def catalogue(url: str) -> Catalogue:
    """The definition of each object of schema public, by kind and name."""
    with psycopg.connect(url) as connection:
        return read(connection)


def read(connection: psycopg.Connection[Any]) -> Catalogue:
    """The same as one transaction sees it; also `rows`: what each table was created with, without its times."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(TEXT.encode(), {"schema": "public"}).fetchall()
        found = {(row["kind"], row["name"]): row["definition"] for row in rows}
        for table in cursor.execute(TABLES.encode(), {"schema": "public"}).fetchall():
            if table["name"] != "blogworker_migrations":
                found["rows", table["name"]] = _rows(cursor, table["name"])
    return found


def _rows(cursor: psycopg.Cursor[dict[str, Any]], table: str) -> list[Any]:
    rows = cursor.execute(f"select to_jsonb(t) as row from {table} as t".encode()).fetchall()
    timeless = [
        {name: value for name, value in row["row"].items() if not name.endswith(("_at", "written_by"))} for row in rows
    ]
    return sorted(timeless, key=str)


def differences(one: Catalogue, other: Catalogue) -> dict[tuple[str, str], str]:
    """What differs, by kind and name: 'missing', 'added', or the facts that are not the same."""
    found = {}
    for key in one.keys() | other.keys():
        if key not in other:
            found[key] = "missing"
        elif key not in one:
            found[key] = "added"
        elif one[key] != other[key]:
            found[key] = _facts(one[key], other[key])
    return found


def _facts(one: Any, other: Any) -> str:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return f"{one} is now {other}"
    changed = [name for name in one if one[name] != other.get(name)]
    return "; ".join(f"{name}: {one[name]} is now {other.get(name)}" for name in changed)
