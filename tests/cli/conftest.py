"""The command line as a person or a script meets it: a real process, its output and its exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.forks import LIMIT_S, Forks, Ran

Rows = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Cli:
    """Runs `blogworker` in a folder of its own, with no more environment than it is given."""

    folder: Path
    environment: dict[str, str]
    forks: Forks

    def __call__(self, *arguments: str | bytes, stdin: bytes = b"", out: str = "file", **environment: str) -> Ran:
        whole = self.environment | environment
        return self.forks.run(arguments, folder=self.folder, environment=whole, stdin=stdin, out=out)

    def afresh(self, *arguments: str | bytes, **environment: str) -> Ran:
        """In an interpreter of its own, for what an interpreter does as it starts."""
        ran = subprocess.run(
            [sys.executable, "-m", "blogworker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            cwd=self.folder,
            env=self.environment | environment,
        )
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.fixture
def offline(tmp_path: Path, forks: Forks) -> Cli:
    """The command line where no database is configured."""
    uninstalled = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}  # a checkout's own code
    bare = {"PATH": os.defpath, "HOME": str(tmp_path), "COLUMNS": "200", "BLOGWORKER_ENV_FILE": ""}
    return Cli(tmp_path, bare | uninstalled, forks)


@pytest.fixture
def cli(offline: Cli, database_url: str) -> Cli:
    """The command line with a migrated database of its own."""
    return replace(offline, environment=offline.environment | {"DATABASE_URL": database_url})


@pytest.fixture
def sql(database_url: str) -> Rows:
    """What psql would say."""

    def run(text: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def quiet(request: pytest.FixtureRequest) -> None:
    """Keep a machine's own settings out."""
    for name in [name for name in os.environ if name.startswith(("BLOGWORKER_", "DATABASE_", "DB_", "PG"))]:
        request.getfixturevalue("monkeypatch").delenv(name)
