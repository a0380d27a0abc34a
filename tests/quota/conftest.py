"""A database with buckets to reserve from."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row


@pytest.fixture(scope="module")
def buckets_url(server: str, template: str) -> Iterator[str]:
    """The DSN of a migrated database that the tests of one module share."""
    name = f"quota_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}".encode())
        yield psycopg.conninfo.make_conninfo(server, dbname=name)
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture(scope="module")
def session(buckets_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(buckets_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection
