"""A database with buckets to reserve from."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row


@pytest.fixture(scope="module")
def session(module_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(module_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection
