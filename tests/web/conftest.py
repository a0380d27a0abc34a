"""A real `blogworker serve` with a database of its own, and clients that call it over TCP."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright

from blogworker.ops.tokens import hash_of, new_token

from .browsing import PATH

LIMIT_S = 90.0
Rows = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its address, its database and its process."""

    address: str
    database_url: str
    process: "subprocess.Popen[str]"

    def sql(self, text: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def token(self, *scopes: str, sites: tuple[str, ...] = (), expires: str | None = None) -> str:
        """A new token, as `blogworker tokens create` makes it."""
        token = new_token()
        self.sql(
            "insert into api_tokens (name, hash, scopes, instance_ids, expires_at) values ("
            "'test ' || gen_random_uuid(), %s, %s, %s, now() + %s::interval)",
            hash_of(token), list(scopes), list(sites) or None, expires,
        )  # fmt: skip
        return token

    def client(self, *scopes: str, sites: tuple[str, ...] = ()) -> httpx.Client:
        """A client with a token of these scopes, or without one."""
        headers = {"authorization": f"Bearer {self.token(*scopes, sites=sites)}"} if scopes else {}
        return httpx.Client(base_url=self.address, headers=headers, timeout=LIMIT_S, trust_env=False)


def job(served: Any, site: str, **columns: object) -> int:
    """Insert a keyword job with these columns, and return its id."""
    names = "".join(f", {name}" for name in columns)
    marks = ", %s" * len(columns)
    rows = served.sql(
        f"insert into blog_generations (instance_id, source_type, source_id{names}) values (%s, 'keyword', 'k'{marks}) "
        "returning id",
        site,
        *columns.values(),
    )
    return int(rows[0][0])


@contextmanager
def serving(database_url: str, folder: Path, **environment: str) -> Iterator[Served]:
    """Run `blogworker serve` on a free port for the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "blogworker", "serve", "--port", "0"],
        env={**os.environ, "DATABASE_URL": database_url, "BLOGWORKER_LOG_FORMAT": "json", **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Served(_address(process), database_url, process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("{") and (event := json.loads(line))["event"] == "http_started":
            return str(event["address"])
    raise AssertionError(f"the server ended with {process.wait()}: {lines}")


@pytest.fixture(scope="module")
def served(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(module_url, tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def admin(served: Served) -> Iterator[httpx.Client]:
    """A client that may do everything."""
    with served.client("intake", "read", "operate") as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def cli_serve(database_url: str, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`blogworker serve`, for runs that end at once."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "blogworker", "serve", *arguments],
            env={**os.environ, "DATABASE_URL": database_url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    return run
