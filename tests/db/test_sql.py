"""The SQL files: each says what it does, is one statement, and fits the schema; Python holds none."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus

from blogworker.db.sql import query, read_statements, sql_dir

ROOT = Path(str(sql_dir())).parent
QUERIES = ROOT / "sql" / "queries"
NAMES = sorted(str(path.relative_to(QUERIES).with_suffix("")) for path in QUERIES.rglob("*.sql"))
SOURCES = sorted((ROOT / "blogworker").rglob("*.py"))
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
STATEMENT = re.compile(
    r"\s*(select\b.+\bfrom|insert into|update\b.+\bset|delete from|create (table|index|function)|with\b.+\bas \()\W",
    re.IGNORECASE | re.DOTALL,
)


@pytest.fixture(scope="module")
def migrated(module_url: str) -> Iterator[psycopg.Connection]:
    """A session in which statements are prepared, and none is run but those by which a bench makes what it reads."""
    with psycopg.connect(module_url, autocommit=True) as connection:
        for made in ("create table", "create function", "create extension"):
            for file in NAMES:
                if file.startswith("bench/") and statement_of(query(file)).startswith(made):
                    connection.execute(query(file))
        yield connection


def comment_of(text: str) -> str:
    """The contract: the lines of comment that open the file."""
    lines = text.splitlines()
    return "\n".join(lines[: next(n for n, line in enumerate(lines) if not line.startswith("--"))])


def statement_of(text: str) -> str:
    return text.removeprefix(comment_of(text)).lstrip()


def test_each_file_opens_with_its_contract():
    """The file name is the name in Python and in the logs; the comment must not speak of another."""
    others = [name for name in NAMES if not comment_of(query(name)).startswith(f"-- {name.partition('/')[2]}: ")]

    assert others == []


def test_a_process_that_has_read_all_statements_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of the old version got a statement of the new one, with other parameters, after an upgrade in place."""
    before = {name: query(name) for name in NAMES}
    query.cache_clear()
    read_statements()
    monkeypatch.setattr("blogworker.db.sql.sql_dir", lambda: tmp_path)

    assert {name: query(name) for name in NAMES if not name.startswith("bench/")}.items() <= before.items()


def test_each_contract_names_every_parameter():
    parameters = {name: set(PLACEHOLDER.findall(query(name))) for name in NAMES}
    documented = {name: set(re.findall(r"\w+", comment_of(query(name)))) for name in NAMES}

    assert {name: missing for name in NAMES if (missing := parameters[name] - documented[name])} == {}


def test_each_file_is_one_statement_that_fits_the_schema(migrated):
    """Prepared as psycopg would send it: parsed, every table, column and type looked up, nothing run."""
    assert {name: fault for name in NAMES if (fault := fault_of(migrated, query(name))) is not None} == {}


def fault_of(connection: psycopg.Connection, text: str) -> str | None:
    converted = PostgresQuery(Transformer())
    converted.convert(text, dict.fromkeys(PLACEHOLDER.findall(text)) or None)
    result = connection.pgconn.prepare(b"", converted.query)
    return None if result.status == ExecStatus.COMMAND_OK else result.error_message.decode()


def test_every_statement_has_a_user():
    """One that nobody runs is not tested by anybody either."""
    everything = "".join(source.read_text(encoding="utf-8") for source in SOURCES)

    assert [name for name in NAMES if f'"{name}"' not in everything] == []


def test_every_name_used_has_a_file():
    """Otherwise the first customer who runs the statement finds a misspelt name."""
    rooms = "|".join(sorted({name.partition("/")[0] for name in NAMES}))
    used = {
        name
        for source in SOURCES
        for name in re.findall(rf'"((?:{rooms})/[a-z_]+)"', source.read_text(encoding="utf-8"))
    }

    assert used - set(NAMES) == set()


def test_python_holds_no_sql():
    """All of it is where a database person looks: in files, with contracts and plans."""
    found = [
        f"{source.relative_to(ROOT)}:{node.lineno}"
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value)
    ]

    assert found == []
