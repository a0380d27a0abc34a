"""The command line as a person or a script meets it: a real process, its output and its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

LIMIT_S = 30
Rows = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


@dataclass(frozen=True, slots=True)
class Cli:
    """Runs `python -m blogworker` in a folder of its own, with no more environment than it is given."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str | bytes, stdin: bytes = b"", **environment: str) -> Ran:
        ran = subprocess.run(
            [sys.executable, "-m", "blogworker", *arguments],
            input=stdin,
            capture_output=True,
            timeout=LIMIT_S,
            cwd=self.folder,
            env=self.environment | environment,
        )
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.fixture
def offline(tmp_path: Path) -> Cli:
    """The command line where no database is configured."""
    uninstalled = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}  # a checkout's own code
    bare = {"PATH": os.defpath, "HOME": str(tmp_path), "COLUMNS": "200", "BLOGWORKER_ENV_FILE": ""}
    return Cli(tmp_path, bare | uninstalled)


@pytest.fixture
def cli(offline: Cli, database_url: str) -> Cli:
    """The command line with a migrated database of its own."""
    return Cli(offline.folder, offline.environment | {"DATABASE_URL": database_url})


@pytest.fixture
def sql(database_url: str) -> Rows:
    """What psql would say."""

    def run(text: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    return run
