"""Changes that make a database incompatible with the program."""

from collections.abc import Mapping
from typing import Any

from blogworker.db.pool import Database
from blogworker.queue.job import Claim, Done, Outcome


async def run(database: Database, text: str) -> None:
    async with database.connection() as connection:
        await connection.execute(text.encode())


INCOMPATIBLE_CODES = ["42501", "42703", "42883", "42P01", "3F000", "0A000"]


async def done(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
    return Done()
