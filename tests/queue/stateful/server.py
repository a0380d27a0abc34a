"""The connections of all histories, two of which keep a transaction open."""

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from .model import Job

SESSIONS = ("left", "right")  # transactions that are left open


@dataclass
class Session:
    """A connection, and what its open transaction did that nobody else can see yet."""

    connection: psycopg.Connection[dict[str, Any]]
    is_open: bool = False
    jobs: list[Job] = field(default_factory=list)
    sites: set[str] = field(default_factory=set)  # made here
    held_jobs: set[int] = field(default_factory=set)  # locked here
    held_sites: set[str] = field(default_factory=set)

    def end(self, how: str) -> None:
        self.connection.execute(how.encode())
        self.forget()

    def forget(self) -> None:
        self.is_open = False
        self.jobs, self.sites, self.held_jobs, self.held_sites = [], set(), set(), set()


class Server:
    """The connections, kept over all histories."""

    def __init__(self, url: str) -> None:
        self.psql = self._connect(url)
        self.sessions = {name: Session(self._connect(url)) for name in SESSIONS}
        self.steps = 0

    def _connect(self, url: str) -> psycopg.Connection[dict[str, Any]]:
        connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        connection.execute("set lock_timeout = '2s'")
        return connection

    def close(self) -> None:
        for connection in (self.psql, *(session.connection for session in self.sessions.values())):
            connection.close()
