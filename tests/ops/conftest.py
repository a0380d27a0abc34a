"""The program's own SQL for the number of workers that a load needs."""

from collections.abc import Iterator

import psycopg
import pytest

from .scaling import Need

NEEDED = """
select wanted, limited_by
from workers_needed(%s::bigint, %s::bigint, %s::bigint, %s::bigint, %s, %s, %s, %s, %s, 600)
"""


@pytest.fixture(scope="module")
def need(module_url: str) -> Iterator[Need]:
    """What the view asks, with figures instead of tables."""
    with psycopg.connect(module_url, autocommit=True) as connection:

        def ask(*figures: float | None) -> tuple[int, str | None]:
            row: tuple[int, str | None] = connection.execute(NEEDED.encode(), figures, prepare=True).fetchall()[0]
            return row

        yield ask
